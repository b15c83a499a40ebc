"""The DAG in a real Airflow: parsed, run by a scheduler into a real Postgres, paused, failed, and run again.

``make test-airflow`` runs this in an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from airflow_house import DAG, Airflow, Attempt, free_port
from cryptography.fernet import Fernet

from exact_source.auth import Authorizer
from exact_source.clock import SystemClock
from exact_source.consent import Question, connect
from exact_source.opening import Surroundings
from exact_source.sandbox import Sandbox
from exact_source.sandbox.faults import Fault
from exact_source.sandbox.options import Options
from exact_source.sessions import open_session
from exact_source.settings import load_settings
from exact_source.tokens import TokenStore
from leaks import WATCH
from postgres_server import Postgres

ENTITIES = ["accounts", "divisions", "gl_accounts", "transaction_lines"]
PARSE = """
import json, sys
touched = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"):
        touched.append((event, repr(arguments[-1])))
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag({folder!r}, collect_dags=False)
sys.addaudithook(hook)
bag.process_file({file!r}, only_if_updated=False)
dag = bag.dags["exact_online"]
print(json.dumps({{
    "errors": bag.import_errors, "touched": touched, "catchup": dag.catchup,
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
    settings: dict[str, object] = field(repr=False)

    def rows(self, table: str, dataset: str = "exact_online_bakery") -> dict[int, int]:
        """Rows of a table by division."""
        engine = sa.create_engine(self.warehouse, poolclass=sa.NullPool)
        with engine.connect() as session:
            question = f"SELECT division, count(*), count(DISTINCT id) FROM {dataset}.{table} GROUP BY 1"
            found = session.execute(sa.text(question)).all()
        assert all(rows == different for _, rows, different in found)
        return {division: rows for division, rows, _ in found}

    @contextmanager
    def reading(self, division: int) -> Iterator[None]:
        """Another run of connection ``bakery`` reads this division meanwhile."""
        session = open_session("bakery", Surroundings(overrides=self.settings), [division])
        try:
            yield
        finally:
            session.client.close()

    def expected(self, path: str, divisions: list[int]) -> dict[int, int]:
        return {code: self.sandbox.records.count(code, path) for code in divisions}


def _arguments(settings: Mapping[str, str]) -> dict[str, object]:
    """Variables of the environment as overrides of settings."""
    return {name.rpartition("__")[2].lower(): value for name, value in settings.items()}


def connected(name: str, sandbox: Sandbox, divisions: list[int], settings: dict[str, str]) -> None:
    found = load_settings(name, **_arguments(settings))
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
            f"{prefix}CONNECTIONS__BAKERY__TAGS": "bread",
            f"{prefix}DESTINATION": "postgres",
            "DESTINATION__POSTGRES__CREDENTIALS": sa.make_url(warehouse)
            .set(drivername="postgresql", host="localhost")
            .render_as_string(hide_password=False),
            "EXACT_RETRY_SECONDS": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "XDG_DATA_HOME": str(home / "data"),
        }
        airflow = Airflow(home, environment, free_port())
        airflow.prepare()
        yield Company(sandbox, gone, airflow, warehouse, _arguments(settings))


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


@pytest.mark.timeout(900)
def test_a_scheduler_loads_retries_pauses_fails_and_goes_on(company: Company) -> None:
    """One journey, as starting Airflow takes longest. The first run is the one that the schedule asks for."""
    airflow, sandbox = company.airflow, company.sandbox
    first, second, third = sandbox.divisions[:3]
    names = [f"bakery {first}", f"bakery {second}", f"busy {third}", f"gone {company.gone.divisions[0]}"]

    def of(run: str) -> list[Attempt]:
        found = {one.name: one for one in airflow.attempts(run) if one.task == "load"}
        return [found[name] for name in names if name in found]

    def states(run: str) -> list[str | None]:
        return [one.state for one in of(run)]

    leave_calls(company, 999_999)
    with airflow.working():
        with company.reading(second):
            airflow.wait_until(lambda: airflow.runs() != {})
            (run,) = airflow.runs()
            airflow.wait_until(lambda: "Busy" in airflow.log_of(run, names[1]))
        settled = ["success", "success", "up_for_reschedule", "failed"]
        airflow.wait_until(lambda: states(run) == settled or airflow.runs()[run] != "running")
        assert states(run) == settled, airflow.seen()

        # Another run was at work: a retry. The consent is gone: no retry, and what to do. Both in the task's log.
        assert [one.tries > 1 for one in of(run)] == [False, True, False, False]
        assert of(run)[3].most == 4
        told = airflow.log_of(run, names[3])
        assert "ConsentWithdrawn" in told
        assert "exact-source connect --connection gone" in told

        # A spent day: again when it is over.
        [(resumes,)] = airflow.ask("SELECT reschedule_date FROM task_reschedule")
        tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        assert datetime.fromisoformat(resumes).replace(tzinfo=UTC) == tomorrow + timedelta(seconds=2)

        for name, path in (("accounts", "crm/Accounts"), ("gl_accounts", "financial/GLAccounts")):
            assert company.rows(name) == company.expected(path, [first, second])

        # That moment comes: the others left their calls, and the task goes on as the first try.
        leave_calls(company, 0)
        airflow.change("UPDATE task_reschedule SET reschedule_date = ?", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}")
        airflow.wait_until(lambda: airflow.runs()[run] == "failed")
        assert states(run) == ["success", "success", "success", "failed"]
        assert [one.tries for one in of(run)][2:] == [1, 1]
        assert company.rows("accounts", "exact_online_busy") == company.expected("crm/Accounts", [third])

        sandbox.touch(first, "accounts", next(sandbox.records.rows(first, "crm/Accounts"))["ID"])
        airflow.command("dags", "trigger", "exact_online", "--run-id", "second")
        airflow.wait_until(lambda: airflow.runs().get("second") in ("failed", "success"))
        assert states("second") == ["success", "success", "success", "failed"]
        reports = [airflow.returned("second", one.index) for one in of("second")[:3]]
        news = [{one["name"]: one["rows"] for one in report["entities"] if one["rows"]} for report in reports]
        assert news == [{"divisions": 2, "accounts": 1}, {}, {"divisions": 1}]
        assert reports[0]["tags"] == ["bread"]
        assert f"{names[0].split()[1]}: succeeded, 1 rows" in airflow.log_of("second", names[0])
