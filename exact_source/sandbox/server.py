"""The door with a network: HTTP/1.1 on a socket, with real resets and real truncation."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from exact_source.clock import Clock
from exact_source.sandbox.control import PATH, Control
from exact_source.sandbox.messages import Reply, Request
from exact_source.sandbox.service import Service

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a served sandbox listens."""

    url: str


@dataclass(frozen=True, slots=True)
class Door:
    """What stands behind the socket: the service, its clock, and who may give it orders."""

    service: Service
    clock: Clock
    control: Control


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], door: Door) -> None:
        super().__init__(address, _Handler)
        self.door = door

    def shutdown_request(self, request: Any) -> None:
        """A connection that was reset is already closed."""
        if request.fileno() >= 0:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ExactOnlineSandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            host=f"http://{self.headers.get('Host', 'localhost')}",
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(size),
        )
        door = self.server.door
        if request.path.startswith(PATH):
            self._send(door.control.answer(request, self.client_address[0]))
            return
        reply = door.service.handle(request)
        door.clock.sleep(reply.delay)
        if reply.breakage == "reset":
            self._reset()
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_MERGE = _handle  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        """``Date`` tells the sandbox's time, as the rate headers do."""
        del timestamp
        return format_datetime(self.server.door.clock.now(), usegmt=True)

    def _send(self, reply: Reply) -> None:
        # Not send_response: its Date would be the machine's, not the sandbox's.
        self.send_response_only(reply.status, reply.reason or None)
        self.send_header("Server", self.version_string())
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.breakage == "truncated":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    def _reset(self) -> None:
        """Close with a TCP reset instead of a farewell."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002
        """Requests are in the sandbox's own log, without secrets."""
        return


@contextmanager
def serving(door: Door, host: str, port: int) -> Iterator[Address]:
    """Serve until the block ends. Port 0 takes a free one."""
    server = _Server((host, port), door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Address(f"http://{host}:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
