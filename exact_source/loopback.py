"""Receives the answer to a question for consent on a port of this machine. Forgets everything else it is sent."""

from __future__ import annotations

import queue
import socket
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from exact_source.clock import Clock
from exact_source.consent import Code, Question
from exact_source.errors import ConfigurationError, ConsentWithdrawn, ExactError
from exact_source.refusals import cure
from exact_source.setting_values import is_loopback
from exact_source.settings import Settings, require_redirect_uri

WAIT_SECONDS = 300.0  # for a person to log in and choose; the three minutes of the code only begin after that
POLL_SECONDS = 0.1
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>exact-source</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
THANKS = PAGE.format(title="Thank you", text="The answer has arrived. Close this page and go back to the terminal.")
REFUSED = PAGE.format(title="No consent", text="Nothing was connected. Close this page and go back to the terminal.")
WRONG = PAGE.format(
    title="Not the answer",
    text="This page does not belong to the question just asked. Use the one opened from the terminal.",
)
LOST = PAGE.format(title="Nothing here", text="Only the answer of Exact Online is received here.")


class LoopbackReceiver:
    """Listens on the address of a redirect URI on this machine, until the answer to one question has come.

    A redirect URI without a port gets a free one. Use as a context manager: ``question`` is what to ask.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        parts = urlsplit(require_redirect_uri(settings))
        if parts.scheme != "http" or not is_loopback(parts.hostname):
            raise ConfigurationError(
                f"redirect_uri {settings.redirect_uri!r} does not lead to this machine over http, so the answer cannot"
                " be received here; use `exact-source connect --paste`"
            )
        host = "127.0.0.1" if parts.hostname == "localhost" else str(parts.hostname)
        try:
            self._server = _Server((host, parts.port or 0), _Visit)
        except OSError as error:
            raise ConfigurationError(
                f"port {parts.port} of this machine is not free for the answer ({type(error).__name__}); stop the"
                " program that uses it, or use `exact-source connect --paste`"
            ) from None
        name = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
        netloc = parts.netloc if parts.port else f"{name}:{self._server.server_port}"
        redirect_uri = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
        self.question = Question(settings, clock, redirect_uri)
        self._server.path, self._server.question = parts.path or "/", self.question

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, seconds: float = WAIT_SECONDS) -> Code:
        """The code, when the browser has brought it; ConsentWithdrawn when the person said no or took too long."""
        until = self._clock.now() + timedelta(seconds=seconds)
        while self._clock.now() < until:
            try:
                answer = self._server.answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(answer, ExactError):
                raise answer
            return answer
        raise ConsentWithdrawn(
            f"nobody gave consent within {seconds:.0f} seconds; {cure(self._settings.connection)} again"
        )


class _Server(ThreadingHTTPServer):
    """Holds what its visits share: the path to listen on, the question, and the one answer."""

    daemon_threads = True
    path = "/"
    question: Question

    def __init__(self, address: tuple[str, int], visit: type[BaseHTTPRequestHandler]) -> None:
        self.answers: queue.SimpleQueue[Code | ExactError] = queue.SimpleQueue()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, visit)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news, and a traceback could tell the code."""


class _Visit(BaseHTTPRequestHandler):
    """One request of the browser."""

    server: _Server
    timeout = 10.0  # a connection opened ahead of need must not stay for ever
    server_version, sys_version = "exact-source", ""

    def do_GET(self) -> None:
        if urlsplit(self.path).path != self.server.path:
            self._show(404, LOST)
            return
        try:
            code = self.server.question.answered(self.path)
        except ConfigurationError:
            self._show(400, WRONG)
        except ConsentWithdrawn as error:
            self._show(200, REFUSED)
            self.server.answers.put(error)
        else:
            self._show(200, THANKS)
            self.server.answers.put(code)

    def _show(self, status: int, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Says nothing: the request line holds the code."""
