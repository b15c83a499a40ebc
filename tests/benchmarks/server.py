"""A service with its pages ready, in a process of its own: ``python server.py``, then its port on the first line.

Answers as Exact does, rate headers and ``__next`` included, but without limits, so that only the reader is measured. What
it serves is set between measurements with ``POST /_serve``; ``GET /_seen`` tells when each division was first and last
answered. A question that leaves out a member is refused: nothing may be won by reading fewer columns.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pages
from pages import FIRST_DIVISION, LEDGER, PAGE, Rows

from exact_source.catalogue import endpoint

LINES = "/sync/Financial/TransactionLines"
DIVISIONS = endpoint("system/Divisions")
USER = "5f0f3a5e-8f0c-4b56-9a3e-1d2c3b4a5f60"
PLENTY = 10**9
EMPTY = b'{"d":{"results":[]}}'
TOKEN = {"access_token": "b" * 40, "refresh_token": "c" * 40, "token_type": "bearer", "expires_in": "600"}


@dataclass(frozen=True, slots=True)
class Served:
    """``rows``: per division. ``stride``: of a later generation each so-manieth row has changed.

    ``latency``: seconds before each page. ``pace``: seconds from one page of a division to its next; a reader that was
    late may catch up, as it may within the minute at Exact.
    """

    rows: int = PAGE
    divisions: int = 1
    generation: int = 1
    stride: int = 1
    latency: float = 0.0
    pace: float = 0.0

    def after(self, version: int) -> int:
        """The number of the first row to serve behind a row version; ``rows`` when there is none."""
        first = max(version - pages.stamp(self.generation, 0) + 1, 0)
        return min(-(-first // self.stride) * self.stride, self.rows)


@dataclass(slots=True)
class Service:
    """What is served, and when each division was answered."""

    templates: list[pages.Template]
    origin: str = ""
    served: Served = field(default_factory=Served)
    slots: dict[int, float] = field(default_factory=dict)
    seen: dict[int, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, body: bytes) -> bytes | bytearray | None:
        """The body of the answer; None for a question that Exact would not be asked."""
        url = urlsplit(target)
        if url.path == "/_serve":
            with self.lock:
                self.served, self.slots, self.seen = Served(**json.loads(body)), {}, {}
            return b"{}"
        if url.path == "/_seen":
            cpu = time.process_time()
            return json.dumps({"seen": list(self.seen.values()), "cpu": cpu}).encode()
        if method == "POST":
            return json.dumps(TOKEN).encode()
        if url.path.endswith(LINES):
            return self._lines(int(url.path.split("/")[3]), parse_qs(url.query))
        if url.path.endswith("system/Divisions"):
            return _enveloped([self._division(FIRST_DIVISION + at) for at in range(self.served.divisions)])
        return EMPTY

    def _lines(self, division: int, query: dict[str, list[str]]) -> bytes | bytearray | None:
        served = self.served
        if set(query.get("$select", [""])[0].split(",")) != {member.name for member in LEDGER.fields}:
            return None
        token = query.get("$skiptoken", query.get("$filter", ["0"]))[0]
        found = re.search(r"(\d+)L?$", unquote(token))
        first = served.after(int(found[1]) if found else 0)
        count = min(PAGE, -(-(served.rows - first) // served.stride))
        last = first + (count - 1) * served.stride
        link = None
        if last + served.stride < served.rows:
            select = query["$select"][0]
            version = pages.stamp(served.generation, last)
            link = f"{self.origin}/api/v1/{division}{LINES}?$select={select}&$skiptoken={version}L"
        body = pages.page(self.templates, Rows(first, count, served.stride, served.generation), division, link)
        self._wait(division)
        return body

    def _wait(self, division: int) -> None:
        now, served = time.monotonic(), self.served
        with self.lock:
            slot = self.slots.get(division, now)
            self.slots[division] = slot + served.pace
            self.seen.setdefault(division, [now, now])
        time.sleep(max(served.latency, slot - now, 0.0))
        with self.lock:
            self.seen[division][1] = time.monotonic()

    def _division(self, code: int) -> dict[str, Any]:
        row: dict[str, Any] = {"__metadata": {"type": "Exact.Web.Api.Models.System.Division"}}
        row |= dict.fromkeys(member.name for member in DIVISIONS.fields)
        return row | {"Code": code, "Description": f"Division {code}", "Status": 1, "Hid": str(code), "Country": "NL "}


def _enveloped(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"d": {"results": rows}}).encode()


def head(status: int, length: int) -> bytes:
    day = (int(time.time()) // 86_400 + 1) * 86_400_000
    minute = (int(time.time()) // 60 + 1) * 60_000
    return (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Bad Request'}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: {length}\r\n"
        f"X-RateLimit-Limit: {PLENTY}\r\nX-RateLimit-Remaining: {PLENTY}\r\nX-RateLimit-Reset: {day}\r\n"
        f"X-RateLimit-Minutely-Limit: {PLENTY}\r\nX-RateLimit-Minutely-Remaining: {PLENTY}\r\n"
        f"X-RateLimit-Minutely-Reset: {minute}\r\n\r\n"
    ).encode()


def converse(service: Service, line: socket.socket) -> None:
    """One connection until the other side closes it."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    with line:
        while True:
            while b"\r\n\r\n" not in waiting:
                heard = line.recv(65_536)
                if not heard:
                    return
                waiting += heard
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            method, target, _ = request.split(b"\r\n", 1)[0].decode().split(" ")
            told = re.search(rb"(?i)content-length: *(\d+)", request)
            while told and len(waiting) < int(told[1]):
                waiting += line.recv(65_536)
            length = int(told[1]) if told else 0
            body, waiting = waiting[:length], waiting[length:]
            answer = service.answer(method, target, body)
            content = b'{"error":{"code":"","message":{"lang":"","value":"not every member was asked"}}}'
            content = content if answer is None else answer
            line.sendall(head(400 if answer is None else 200, len(content)))
            line.sendall(content)


def talk(service: Service, line: socket.socket) -> None:
    try:
        converse(service, line)
    except OSError:
        return  # the reader has gone


def main() -> None:
    """Serves until the process that started it closes its input."""
    templates = pages.rendered(int(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    service = Service(templates, f"http://127.0.0.1:{port}")

    def accept() -> None:
        while True:
            line, _ = listener.accept()
            threading.Thread(target=talk, args=(service, line), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
