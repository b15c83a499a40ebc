"""What an error tracker or a debugger shows of our objects: names and places, never a token or secret."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.traceback import Traceback

from command_line import REPOSITORY
from connecting import MAINTENANCE, TOKEN_CALL, Bench
from exact_source.clock import ManualClock
from exact_source.consent import Question, connect
from exact_source.errors import ExactError
from exact_source.host import ExactHost
from exact_source.setting_values import Masked, Secret
from leaks import WATCH
from strict_exact import StrictExact


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock()
    with StrictExact(clock=clock.now) as exact:
        yield Bench(exact, tmp_path, clock)


def shown(error: BaseException) -> str:
    """A traceback with the values of all local names, by the standard library and by rich."""
    told = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True).format()
    screen = io.StringIO()
    trace = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=10_000, locals_max_length=1_000
    )
    Console(file=screen, width=4_000).print(trace)
    return "".join(told) + screen.getvalue()


def test_a_masked_text_is_shown_to_nobody_and_works_as_text() -> None:
    text = Masked("stampNL001.secret")
    assert {repr(text), repr(text[:5]), repr(copy.copy(text)), repr(pickle.loads(pickle.dumps(text)))} == {"'***'"}
    assert (text, "Bearer " + text, f"{text}") == ("stampNL001.secret", "Bearer stampNL001.secret", "stampNL001.secret")
    assert repr({"a": [text], "b": Secret("x").reveal()}) == "{'a': ['***'], 'b': '***'}"


def refused_code(bench: Bench) -> None:
    with bench.authorizer() as authorizer:
        authorizer.exchange(f"stampNL001.{'c' * 60}", bench.exact.redirect_uri)


def failing(bench: Bench) -> Iterator[Callable[[], object]]:
    """Ways to fail with a token or secret at hand, one after the other."""
    yield lambda: refused_code(bench)
    bench.connect()
    bench.clock.advance(minutes=11)
    yield lambda: bench.access_token(client_secret="the wrong secret")
    bench.exact.fail_next(5, TOKEN_CALL, MAINTENANCE)
    yield bench.access_token
    yield lambda: ExactHost("http://127.0.0.1:1", bench.clock).get("/x", bench.token().access_token)
    yield lambda: ExactHost("http://127.0.0.1:1", bench.clock).post_token(
        {"refresh_token": bench.token().refresh_token}
    )
    yield lambda: bench.authorizer().get("https://evil.example/")
    bench.clock.advance(minutes=11)
    bench.exact.fail_next(1, TOKEN_CALL, "drop")
    yield bench.access_token
    bench.connect()
    yield lambda: bench.authorizer().renew_after_401(bench.token().access_token)


def test_no_traceback_shows_a_secret_even_with_the_values_of_local_names(bench: Bench) -> None:
    for number, fail in enumerate(failing(bench)):
        with pytest.raises(ExactError) as caught:
            fail()
        text = shown(caught.value)
        assert type(caught.value).__name__ in text
        assert [at for at, secret in enumerate(bench.exact.issued_secrets) if secret in text] == [], number
        assert "c" * 60 not in text


def test_no_object_shows_a_secret(bench: Bench) -> None:
    bench.connect()
    with bench.authorizer() as authorizer:
        question = Question(authorizer.settings, bench.clock)
        code = question.answered(bench.exact.consent(question.url))
        objects = [
            code,
            authorizer.settings,
            authorizer.store,
            bench.token(),
            bench.stored(),
            Secret("s" * 40),
            authorizer,
        ]
        told = [text for one in objects for text in (repr(one), str(one), f"{one}", repr(vars_of(one)))]
        connect(authorizer, code, question.redirect_uri)
    secrets = [*bench.exact.issued_secrets, code.value, "s" * 40]
    assert not [text for text in told if any(secret in text for secret in secrets)]


def vars_of(one: object) -> dict[str, object]:
    """All that an object holds, one level down, but for the inside of a Secret."""
    names = getattr(one, "__slots__", None) or vars(one)
    return {name: getattr(one, name) for name in names if not isinstance(one, Secret)}


def test_a_crash_dump_shows_no_secret(bench: Bench) -> None:
    bench.connect()
    bench.clock.advance(minutes=11)
    token = bench.token()
    program = """
import faulthandler, os, sys
faulthandler.enable(all_threads=True)
from exact_source.clock import ManualClock
from exact_source.client import Client
class Tokens:
    def access_token(self):
        return os.environ["TOKEN"]
def die(event):
    os.abort()
Client(sys.argv[1], Tokens(), ManualClock(), listener=die).get("/api/v1/current/Me", bytes, division=None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, bench.exact.base_url],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "TOKEN": token.access_token},
        capture_output=True,
        text=True,
        cwd=bench.folder,
    )
    WATCH.hear("a crash dump", done.stderr)
    assert done.returncode < 0
    assert "Fatal Python error: Aborted" in done.stderr
    assert "client.py" in done.stderr
    assert token.access_token not in done.stderr
