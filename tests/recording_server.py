"""A host that a token must never reach: it keeps every byte it is sent, and answers as a helpful Exact would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"d":[]}'


@dataclass(frozen=True, slots=True)
class Recorder:
    """``received``: what each visitor sent, in order."""

    port: int
    received: list[bytes] = field(default_factory=list)


@contextmanager
def recording() -> Iterator[Recorder]:
    """A server on a free port of this machine; reachable as 127.0.0.1 and as localhost."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        recorder = Recorder(listening.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listening, recorder), daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, recorder: Recorder) -> None:
    with suppress(OSError):
        while True:
            visitor, _ = listening.accept()
            with visitor, suppress(OSError):
                visitor.settimeout(5)
                recorder.received.append(visitor.recv(65_536))
                visitor.sendall(ANSWER)
