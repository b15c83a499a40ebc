# Two commands are enough: `make demo` and `make test`. Both make .venv and install the pinned packages first.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin

.PHONY: demo test coverage lint format bench fuzz audit clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,postgres]"
	touch $@

demo: .venv/installed
	@$(BIN)/exact-source run --sandbox --database demo.duckdb
	@$(BIN)/python pipelines/demo.py demo.duckdb

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

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

bench: .venv/installed
	$(BIN)/python tests/benchmarks/throughput.py

# Fifty times as many cases as in `make test`; takes its time.
fuzz: .venv/installed
	FUZZ_TIMES=50 $(BIN)/python -m pytest tests/test_fuzz.py tests/test_pages.py --timeout=0

# Needs the public database of vulnerabilities, so it is no part of .ci; a package it cannot look up fails it.
audit:
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .coverage demo.duckdb
