"""Notices as Exact posts them, written and signed here without the product."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from exact_source.sandbox import Sandbox
from exact_source.settings import Settings, load_settings
from leaks import WATCH

SECRET = WATCH.keep_secret("b1f7a09c-the-webhook-secret-of-the-app")
SETTING = "SOURCES__EXACT_ONLINE__WEBHOOK_SECRET"
ACCOUNT = "8a3f0e5c-0b1d-4f55-9c55-3f4a1f3b2d10"


def content(division: int = 124132, topic: str = "Accounts", **more: Any) -> str:
    """A Content as it is sent; a member of None is left out."""
    told = {
        "Topic": topic,
        "ClientId": "5f1c0f3e-6f0b-4c0e-9a53-2d1e7c9b8a40",
        "Division": division,
        "Action": "Update",
        "Key": ACCOUNT,
        "ExactOnlineEndpoint": f"https://start.exactonline.nl/api/v1/{division}/crm/Accounts(guid'{ACCOUNT}')",
        "EventCreatedOn": "2026-06-18T09:12:33.447",
        **more,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None}, separators=(",", ":"))


def sealed(text: str, secret: str = SECRET) -> bytes:
    """The document around a Content."""
    return f'{{"Content":{text},"HashCode":"{seal(text, secret)}"}}'.encode()


def seal(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def receiving(home: Path, **given: object) -> Settings:
    """The settings of who takes them in."""
    known: dict[str, object] = {"token_store": f"sqlite:///{home / 'tokens.db'}", "webhook_secret": SECRET}
    return load_settings("default", **{**known, **given})


@dataclass(slots=True)
class Posted:
    """What came to the address, in order: bodies, and the status each was answered with."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def contents(self) -> list[dict[str, Any]]:
        """What was told, each signed as it has to be; the empty bodies left out."""
        told = []
        for body in filter(None, self.bodies):
            found = re.fullmatch(rb'\{"Content":(\{.*\}),"HashCode":"([0-9A-F]{64})"\}', body)
            assert found is not None, body
            assert seal(found[1].decode(), Sandbox.webhook_secret) == found[2].decode()
            told.append(json.loads(found[1]))
        return told


@contextmanager
def listening(answer: Callable[[bytes], int]) -> Iterator[Posted]:
    """An address on a real socket that answers each body with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.bodies.append(body)
            posted.statuses.append(answer(body))
            self.send_response(posted.statuses[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    posted = Posted(f"http://127.0.0.1:{server.server_address[1]}/exact/notices")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield posted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
