"""The DAG in a real Airflow: parsed, run by a scheduler into a real Postgres, paused, failed, and run again.

``make test-airflow`` runs this in an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from airflow_house import DAG, Airflow, Attempt, free_port
from cryptography.fernet import Fernet

from exact_source.auth import Authorizer
from exact_source.clock import SystemClock
from exact_source.consent import Question, connect
from exact_source.sandbox import Sandbox
from exact_source.sandbox.faults import Fault
from exact_source.sandbox.options import Options
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from leaks import WATCH
from postgres_server import Postgres

ENTITIES = ["accounts", "divisions", "gl_accounts", "transaction_lines"]
PARSE = """
import json, sys, time
touched = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"):
        touched.append((event, repr(arguments[-1])))
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag({folder!r}, collect_dags=False)
sys.addaudithook(hook)
began = time.monotonic()
bag.process_file({file!r}, only_if_updated=False)
seconds = time.monotonic() - began
dag = bag.dags["exact_online"]
print(json.dumps({{
    "errors": bag.import_errors, "touched": touched, "seconds": seconds, "catchup": dag.catchup,
    "tasks": {{task.task_id: type(task).__name__ for task in dag.tasks}}, "runs": dag.max_active_runs,
    "heavy": sorted(name for name in set(sys.modules) - before if name in ("dlt", "pyarrow", "exact_source.runs")),
}}))
"""


@dataclass
class Company:
    """Two Exacts and three connections: one with two divisions, one short of calls, one whose consent is withdrawn."""

    sandbox: Sandbox
    gone: Sandbox
    airflow: Airflow
    warehouse: str = field(repr=False)

    def rows(self, table: str) -> dict[int, int]:
        """Rows of a table by division."""
        engine = sa.create_engine(self.warehouse, poolclass=sa.NullPool)
        with engine.connect() as session:
            question = f"SELECT division, count(*), count(DISTINCT id) FROM exact_online.{table} GROUP BY 1"
            found = session.execute(sa.text(question)).all()
        assert all(rows == different for _, rows, different in found)
        return {division: rows for division, rows, _ in found}

    def expected(self, path: str, divisions: list[int]) -> dict[int, int]:
        return {code: self.sandbox.records.count(code, path) for code in divisions}

    def calls(self) -> int:
        return len([one for one in self.sandbox.requests if one.division in self.sandbox.divisions])


def connected(name: str, sandbox: Sandbox, divisions: list[int], settings: dict[str, str]) -> None:
    given = {key.rpartition("__")[2].lower(): value for key, value in settings.items()}
    found = load_settings(name, **given)
    store = TokenStore.from_settings(found)
    with Authorizer(found, store, SystemClock()) as authorizer:
        question = Question(found, SystemClock())
        code = question.answered(sandbox.consent(question.url, divisions=divisions))
        connect(authorizer, code, question.redirect_uri)
    store.close()


@pytest.fixture(scope="module")
def company(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    home = tmp_path_factory.mktemp("airflow")
    clock, options = SystemClock(), Options(minutely_limit=100_000)
    key = WATCH.keep_secret(Fernet.generate_key().decode())
    with ExitStack() as stack:
        sandbox, gone = Sandbox(clock, options=options), Sandbox(clock, "bare", options=options)
        for one in (sandbox, gone):
            stack.callback(one.close)
        url, gone_url = (stack.enter_context(one.serve()).url for one in (sandbox, gone))
        prefix = "SOURCES__EXACT_ONLINE__"
        settings = {
            f"{prefix}CLIENT_ID": sandbox.client_id,
            f"{prefix}CLIENT_SECRET": sandbox.client_secret,
            f"{prefix}REDIRECT_URI": sandbox.redirect_uri,
            f"{prefix}BASE_URL": url,
            f"{prefix}TOKEN_STORE": postgres.new_database(),
            f"{prefix}ENCRYPTION_KEY": key,
        }
        first, second, third = sandbox.divisions[:3]
        connected("bakery", sandbox, [first, second], settings)
        connected("busy", sandbox, [third], settings)
        connected("gone", gone, gone.divisions[:1], {**settings, f"{prefix}BASE_URL": gone_url})
        gone.cause(Fault.CONSENT_WITHDRAWN)
        warehouse = postgres.new_database()
        environment = {
            **settings,
            f"{prefix}ENTITIES": json.dumps(ENTITIES),
            f"{prefix}CONNECTIONS__GONE__BASE_URL": gone_url,
            "DESTINATION__POSTGRES__CREDENTIALS": sa.make_url(warehouse)
            .set(drivername="postgresql", host="localhost")
            .render_as_string(hide_password=False),
            "EXACT_RETRY_SECONDS": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "XDG_DATA_HOME": str(home / "data"),
        }
        airflow = Airflow(home, environment, free_port())
        airflow.prepare()
        yield Company(sandbox, gone, airflow, warehouse)


def leave_calls(company: Company, reserve: int) -> None:
    """How many calls of a day connection ``busy`` leaves to others."""
    folder = company.airflow.home / ".dlt"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(f"[sources.exact_online.connections.busy]\ndaily_reserve = {reserve}\n")


def test_the_dag_is_parsed_without_network_and_store(company: Company) -> None:
    folder = company.airflow.dags
    told = company.airflow.python(PARSE.format(folder=str(folder), file=str(folder / DAG.name)))
    assert (told["errors"], told["touched"], told["heavy"]) == ({}, [], [])
    assert told["tasks"].keys() == {"parts", "load"}
    assert told["tasks"]["load"] == "DecoratedMappedOperator"
    assert (told["catchup"], told["runs"]) == (False, 1)
    print(told["seconds"])


def test_a_scheduler_loads_pauses_fails_and_goes_on(company: Company) -> None:
    airflow, sandbox = company.airflow, company.sandbox
    first, second, third = sandbox.divisions[:3]
    leave_calls(company, 999_999)
    names = [f"bakery {first}", f"bakery {second}", f"busy {third}", f"gone {company.gone.divisions[0]}"]

    def of(run: str) -> dict[str, Attempt]:
        return {one.name or "": one for one in airflow.attempts(run) if one.task == "load"}

    def states(run: str) -> list[str | None]:
        found = of(run)
        return [found[name].state if name in found else None for name in names]

    with airflow.working():
        airflow.wait_until(lambda: airflow.runs() != {})
        (first_run,) = airflow.runs()
        airflow.wait_until(lambda: states(first_run) == ["success", "success", "up_for_reschedule", "failed"])

        assert (of(first_run)[names[3]].tries, of(first_run)[names[3]].most) == (1, 4)
        log = airflow.log_of(first_run, names[3])
        assert "ConsentWithdrawn" in log
        assert "exact-source connect --connection gone" in log

        [(resumes,)] = airflow.ask("SELECT reschedule_date FROM task_reschedule")
        tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        assert datetime.fromisoformat(resumes).replace(tzinfo=UTC) == tomorrow + timedelta(seconds=2)

        print(airflow.seen())
        for name, path in (("accounts", "crm/Accounts"), ("gl_accounts", "financial/GLAccounts")):
            assert company.rows(name) == company.expected(path, [first, second])
