"""A receiver of alerts on a real socket: it keeps what is posted and answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leaks import WATCH

# As secret as the path of a Slack webhook.
PATH = WATCH.keep_secret("T02ZQ8KJ1B4CsecretPathOfTheChannel")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Posted:
    """One POST as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass(slots=True)
class Receiver:
    """``posted``: what came. ``answers``: what is said to the next ones, ``ok`` after that. ``before``: is called first."""

    port: int
    posted: list[Posted] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{PATH}"

    def channel(self, **more: Any) -> dict[str, Any]:
        return {"url": self.url, "kind": "webhook", **more}

    @property
    def told(self) -> list[tuple[str, str, int | None]]:
        """Event, kind and division of every message that came to a webhook, in order."""
        found = [one.json for one in self.posted]
        return [(one["event"], one.get("kind", ""), one.get("division")) for one in found]

    def take(self, posted: Posted) -> Answer:
        self.before()
        with self.lock:
            self.posted.append(posted)
            return self.answers.pop(0) if self.answers else Answer()


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.take(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
