"""The rules of the house, read from the source files themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import exact_source
from exact_source import events

ROOT = Path(exact_source.__file__).parent
REPOSITORY = ROOT.parent
# Reading order is import order: each module imports only those before it.
ORDER = """
    errors events scopes redaction clock catalogue choice odata limits budgets responses retries rejections columns rows kernels pages tables cursors reconciliation
    setting_values log_settings connection_values alert_settings webhook_settings setting_keys setting_lookup settings secrets_at_rest token_lock store connections tokens token_answers refusals host
    renewal auth identity consent loopback
    notice_content notices
    ledger run_lock exchange telling downloads writes lookups envelopes client entries claims outbox steps read_ahead reading jobs handover extraction warehouse mirror loading deletions contracts rejection_log history request_files request_log telemetry signing alert_problems alert_rules alert_messages damage alert_store alert_delivery alerts webhook_queue webhook_delivery webhooks observers opening sessions proxy resources source drift books
    packages changes orders targets runs parts notified subscriptions health status_schema status plan actions
    intents row_writes writeback destination dagster
    questions invitations web
    sandbox cli __main__
""".split()
KNOWLEDGE = """
    errors events scopes redaction catalogue choice odata limits budgets responses retries rejections columns rows kernels pages tables cursors drift
    reconciliation writes lookups envelopes alert_settings signing alert_problems alert_rules alert_messages notice_content
""".split()
NO_IO = {"httpx", "requests", "urllib3", "socket", "sqlite3", "sqlalchemy", "duckdb", "dlt", "subprocess", "http", "os"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter", "sleep"}
LONGEST = 400


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py"))


def top(path: Path) -> str:
    """The module or sub-package a file belongs to: ``catalogue``, ``client``."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Our own modules that a file imports, as top names; imports for types only count too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "exact_source":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exact_source."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("exact_source."))


def test_every_module_has_its_place_in_the_reading_order() -> None:
    assert {top(path) for path in modules()} - {"__init__"} == set(ORDER)


def test_each_module_imports_only_those_before_it() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        if top(path) != "__init__"
        for name in imported(path)
        if ORDER.index(name) > ORDER.index(top(path))
    ]
    assert wrong == []


def test_the_sandbox_shares_only_the_specification() -> None:
    used = {name for path in modules() if top(path) == "sandbox" for name in imported(path)}
    assert used <= {"catalogue", "clock", "errors", "sandbox"}


def test_only_the_command_line_imports_the_sandbox() -> None:
    users = {top(path) for path in modules() if "sandbox" in imported(path)}
    assert users <= {"sandbox", "cli"}


def test_our_own_code_is_never_imported_inside_a_function() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exact_source"))
        or (isinstance(node, ast.Import) and any(name.name.startswith("exact_source") for name in node.names))
    ]
    assert wrong == []


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {str(path): n for path, n in lengths.items() if n > LONGEST and top(path) != "catalogue"} == {}


def test_there_are_no_drawers() -> None:
    drawers = re.compile(r"(utils?|helpers?|common|base|core|misc|manager)s?$")
    assert [path for path in modules() if drawers.fullmatch(path.stem) or drawers.fullmatch(path.parent.name)] == []


def test_only_the_clock_reads_the_clock() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if path.name != "clock.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"time", "datetime", "date", "pendulum"}
    ]
    assert wrong == []


def test_each_event_is_told_in_one_place() -> None:
    """But for these: two doors for HTTP, the stages of a run, an end with or without a report, gains and losses, and
    the token, which alerts look at without a run too.
    """
    more = {"RequestDone": {"telling", "host"}, "StageReached": {"runs"}, "RunEnded": {"runs"}}
    more |= {"SchemaChanged": {"reading", "runs"}, "TokenSeen": {"opening", "alerts"}}
    names = {one.__name__ for one in get_args(events.Event)}
    told: dict[str, list[str]] = {name: [] for name in names}
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in names:
                    told[name].append(top(path))
    several = {name for name, places in told.items() if len(places) != 1}
    assert several == more.keys()
    assert {name: set(told[name]) for name in several} == more


def test_observers_know_events_and_no_part_of_a_run() -> None:
    observers = {"history", "request_log", "telemetry", "alerts", "webhooks"}
    running = {"client", "extraction", "reading", "resources", "source", "runs", "opening", "sessions", "jobs"}
    wrong = [f"{top(path)} imports {name}" for path in modules() if top(path) in observers for name in imported(path)]
    assert [line for line in wrong if line.split()[-1] in running] == []


def test_knowledge_does_no_io() -> None:
    wrong = []
    for path in modules():
        if top(path) not in KNOWLEDGE:
            continue
        for node in ast.walk(tree(path)):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name} imports {name}" for name in names if name.split(".")[0] in NO_IO]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                wrong.append(f"{path.name}:{node.lineno} opens a file")
    assert wrong == []


def calls(path: Path) -> Iterator[tuple[int, str, list[str | None]]]:
    """Line, dotted name and keywords of every call."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), [keyword.arg for keyword in node.keywords]


def test_nothing_runs_foreign_code_or_a_shell() -> None:
    modules_shunned = {"pickle", "marshal", "shelve", "dill", "yaml", "subprocess", "pty", "code", "runpy", "ctypes"}
    shunned = re.compile(
        r"(eval|exec|compile|__import__|os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*)|(.*\.)?yaml\..*)"
    )
    wrong = [
        f"{path.name}:{line} {name}" for path in modules() for line, name, _ in calls(path) if shunned.fullmatch(name)
    ]
    for path in modules():
        for node in ast.walk(tree(path)):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name} imports {name}" for name in names if name.split(".")[0] in modules_shunned]
    assert wrong == []


def test_nothing_turns_the_verification_of_certificates_off() -> None:
    words = ("CERT_NONE", "check_hostname", "_create_unverified_context", "disable_warnings", "verify_mode")
    wrong = [f"{path.name}: {word}" for path in modules() for word in words if word in path.read_text("utf-8")]
    wrong += [
        f"{path.name}:{line}" for path in modules() for line, _, names in calls(path) if {"verify", "cert"} & {*names}
    ]
    follow = "follow_redirects=True"
    wrong += [f"{path.name}: {follow}" for path in modules() if follow in path.read_text("utf-8")]
    assert wrong == []


def test_the_public_surface_is_small_and_true() -> None:
    assert len(exact_source.__all__) <= 12
    assert sorted(exact_source.__all__) == list(exact_source.__all__)
    for name in exact_source.__all__:
        assert getattr(exact_source, name).__name__ == name


def test_importing_the_package_loads_nothing_heavy() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import exact_source, exact_source.cli, sys; print(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    ).stdout.split()
    assert {"dlt", "duckdb", "pyarrow", "sqlalchemy", "httpx"} & set(told) == set()


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile(r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs|deb\.debian)", re.IGNORECASE)
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    texts = (REPOSITORY / name for name in listed.split() if (REPOSITORY / name).is_file())
    assert [path for path in texts if hosts.search(path.read_text(encoding="utf-8", errors="replace"))] == []
