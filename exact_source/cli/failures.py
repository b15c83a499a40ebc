"""How an error ends a command: a message on stderr, an object on stdout with ``--json``, and an exit code."""

from __future__ import annotations

import json
import re
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from exact_source.errors import ExactError, Rejected

UNEXPECTED = 1
INTERRUPTED = 130
# Tokens are longer than any word or path segment; an address may hold a password.
_LONG = re.compile(r"[\w.!~+=-]{60,}")
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told of an error: its kind, a message without secrets, the exit code, and Exact's own words."""

    kind: str
    message: str
    exit_code: int
    words: dict[str, object]


def exit_code_of(error: BaseException, ctx: click.Context) -> int:
    """Tells the error to the user and gives the exit code that goes with it."""
    told = failure_of(error, ctx)
    click.echo(f"error: {told.message}", err=True)
    print_failure(ctx, told.kind, told.message, told.exit_code, **told.words)
    return told.exit_code


def failure_of(error: BaseException, ctx: click.Context) -> Failure:
    """What is to be told of the error; with ``--debug`` the traceback of an unexpected one is shown."""
    if isinstance(error, ExactError):
        return Failure(type(error).__name__, masked(str(error)), error.exit_code, _words(error))
    if is_interrupted(error):
        return Failure("Interrupted", "interrupted; what was loaded stays", INTERRUPTED, {})
    if ctx.meta.get("debug"):
        click.echo(masked("".join(traceback.format_exception(error))), err=True)
    message = f"unexpected {_place(error)}; --debug shows the traceback"
    return Failure(type(error).__name__, masked(message), UNEXPECTED, {})


def is_interrupted(error: BaseException | None) -> bool:
    """True for an interruption, also one that struck within dlt's own bookkeeping and came out as its error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, by which services are stopped, ends a command as Ctrl-C does: in words, with what was kept."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def masked(text: str) -> str:
    """The text without what may be a secret, and without anything that steers a terminal."""
    text = _LONG.sub("***", _PASSWORD.sub(r"\1:***@", text))
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def print_failure(ctx: click.Context, kind: str, message: str, exit_code: int, **more: object) -> None:
    """With ``--json``, a failure is an object on stdout as well."""
    if ctx.meta.get("json"):
        told = {"status": "failed", "error": message, "error_type": kind, "exit_code": exit_code, **more}
        click.echo(json.dumps(told, indent=2))


def _words(error: ExactError) -> dict[str, object]:
    """Exact's own words, and the fields that they name."""
    if not isinstance(error, Rejected) or not error.told:
        return {}
    return {"words": masked(error.told), "fields": [masked(name) for name in error.fields]}


def _place(error: BaseException) -> str:
    """The kind of the error and where it arose; never its words, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
