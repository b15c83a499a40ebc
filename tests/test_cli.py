"""The command line as a whole: help, errors, purity of JSON, plain text where nobody looks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from command_line import FIRST, REPOSITORY, SECOND, Desk, read_json, serving
from exact_source import catalogue
from exact_source.cli import COMMANDS, main
from exact_source.redaction import masked
from strict_exact import StrictExact

HEAVY = {"dlt", "duckdb", "pyarrow", "sqlalchemy", "httpx", "rich"}


@pytest.fixture(scope="module")
def exact() -> Iterator[StrictExact]:
    yield from serving()


@pytest.fixture
def desk(exact: StrictExact, tmp_path: Path) -> Desk:
    return Desk(exact, tmp_path)


@pytest.mark.parametrize(
    "arguments", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "group"
)
def test_every_help_text_ends_in_an_example(arguments: list[str]) -> None:
    told = CliRunner().invoke(main, [*arguments, "--help"])
    last = told.stdout.rstrip().splitlines()[-1].strip()
    assert told.exit_code == 0
    assert last.startswith(" ".join(["Example: exact-source", *arguments]))


def test_every_example_in_a_help_text_can_be_parsed() -> None:
    for name in COMMANDS:
        command = main.get_command(main.make_context("exact-source", [name]), name)
        assert command is not None
        assert command.epilog is not None
        words = command.epilog.removeprefix("Example: exact-source ").split()
        assert words[0] == name
        command.make_context(name, words[1:])


def test_the_list_of_commands_says_what_each_command_says_of_itself() -> None:
    for name, purpose in COMMANDS.items():
        command = main.get_command(main.make_context("exact-source", [name]), name)
        assert command is not None
        assert (command.help or "").partition("\n")[0] == purpose


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from exact_source.cli import main; main(['--help'], standalone_mode=False)"
    script += "; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert "Commands:" in done.stdout
    assert {name.partition(".")[0] for name in done.stderr.split()} & HEAVY == set()


def test_the_catalogue_is_listed_without_an_account(desk: Desk) -> None:
    listed = read_json(desk.run("entities", "--all", "--json"))
    default = read_json(desk.run("entities", "--json"))
    by_name = {entity["name"]: entity for entity in listed}
    assert len(listed) == len(by_name) == len(catalogue.entities()) >= 250
    assert [entity["name"] for entity in default] == [one.name for one in catalogue.entities() if one.is_default]
    assert by_name["accounts"] == {
        "name": "accounts",
        "table": "accounts",
        "group": "crm",
        "feed": "sync",
        "path": "sync/CRM/Accounts",
        "key": ["id"],
        "cursor": "rowversion",
        "default": True,
        "aliases": ["customers"],
    }


def test_tables_are_plain_text_where_nobody_looks(desk: Desk) -> None:
    for told in (desk.run("entities"), desk.run("entities", NO_COLOR="1"), desk.run("entities", FORCE_COLOR="1")):
        assert "\x1b" not in told.output
        assert told.stdout.splitlines()[0].split() == ["name", "group", "feed", "cursor", "key", "path"]
        assert all(line == line.rstrip() for line in told.stdout.splitlines())


def test_a_reader_that_goes_away_is_no_error(desk: Desk) -> None:
    process = desk.start("entities", "--all", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert "rror" not in process.stderr.read()
    process.communicate()


def test_an_unknown_command_is_a_usage_error(desk: Desk) -> None:
    told = desk.run("tidy")
    assert told.exit_code == 2
    assert told.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["run", "--json", "--max-calls", "none"], ["run", "--json", "--feed", "accounts"]]
)
def test_a_usage_error_is_an_object_on_stdout_with_json(desk: Desk, arguments: list[str]) -> None:
    told = desk.run(*arguments)
    assert told.exit_code == read_json(told)["exit_code"] == 2
    assert "Usage:" in told.stderr


def test_divisions_are_listed_in_one_call(desk: Desk) -> None:
    desk.connect()
    before = desk.exact.calls("system/Divisions")
    told = desk.run("divisions", "--json")
    assert desk.exact.calls("system/Divisions") - before == 1
    assert read_json(told) == [
        {
            "code": code,
            "description": name,
            "country": "NL",
            "currency": "EUR",
            "status": "active",
            "default": True,
        }
        for code, name in ((FIRST, "Bakkerij Jansen"), (SECOND, "Café \x1b[31mRouge"))
    ]


def test_foreign_text_cannot_steer_the_terminal(desk: Desk) -> None:
    desk.connect()
    told = desk.run("divisions")
    assert "\x1b" not in told.output
    assert "Bakkerij Jansen" in told.stdout


def test_names_that_stdout_cannot_show_do_not_crash_it(desk: Desk) -> None:
    desk.connect()
    for arguments in (["divisions"], ["divisions", "--json"]):
        process = desk.start(*arguments, PYTHONIOENCODING="ascii")
        stdout, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, "")
        assert "Bakkerij Jansen" in stdout


def test_a_connection_that_never_was_is_told_with_its_cure(desk: Desk) -> None:
    told = desk.run("divisions", "--json", "--connection", "winter")
    assert told.exit_code == 3
    assert read_json(told) == {
        "status": "failed",
        "error": "connection 'winter' has no token yet; run `exact-source connect --connection winter`",
        "error_type": "NeverConnected",
        "exit_code": 3,
    }
    assert told.stderr.startswith("error: connection 'winter' has no token yet")


def test_an_unexpected_error_is_short_and_its_traceback_is_for_those_who_ask(desk: Desk) -> None:
    folder = desk.home / "data" / "exact-source" / "sandbox"
    folder.mkdir(parents=True)
    (folder / "small.clock").mkdir()
    short, long = (desk.run(*debug, "run", "--sandbox") for debug in ((), ("--debug",)))
    assert short.exit_code == long.exit_code == 1
    assert "error: unexpected IsADirectoryError" in short.stderr
    assert "Traceback" not in short.stderr
    assert "Traceback" in long.stderr


def test_a_message_never_holds_a_token_or_a_password() -> None:
    token = "stampNL001." + "gAAAAbCdE-_" * 20
    text = f"sent {token} to postgresql://loader:sesame@db/warehouse\x1b[2J"
    assert masked(text) == "sent *** to postgresql://loader:***@db/warehouse [2J"


def test_an_interrupted_command_ends_cleanly(desk: Desk) -> None:
    process = desk.start("connect", "--paste")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(desk.exact.base_url)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "error: interrupted" in stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exact_source", "entities", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert json.loads(done.stdout)[0]["name"] == "divisions"
    assert done.stderr == ""
