"""Pages out of the server without looking into them: the link to the next one stands at the end of each body."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import httpx
from pages import FIRST_DIVISION, LEDGER

LINK = re.compile(rb'"__next":"([^"]*)"\}\}$')
TAIL = 4_000


def first_link(url: str, division: int = FIRST_DIVISION, after: int = 0) -> str:
    """The question that a first load asks: every member, from the row version ``after`` on."""
    select = ",".join(member.name for member in LEDGER.fields)
    return f"{url}/api/v1/{division}/sync/Financial/TransactionLines?$select={select}&$filter=Timestamp%20gt%20{after}L"


def bodies(link: str) -> Iterator[bytes]:
    """Every page from ``link`` on, by httpx, as our own client reads them."""
    with httpx.Client(timeout=120, trust_env=False) as http:
        following: str | None = link
        while following:
            body = http.get(following).content
            found = LINK.search(body[-TAIL:])
            following = found[1].decode() if found else None
            yield body


def sweep(link: str) -> int:
    """Bytes of all pages, read through a bare socket: how fast the server is."""
    _, _, address, target = link.split("/", 3)
    host, _, port = address.partition(":")
    buffer, read = bytearray(8_000_000), 0
    view = memoryview(buffer)
    following: str | None = target
    with socket.create_connection((host, int(port))) as line:
        while following:
            line.sendall(f"GET /{following} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            have = line.recv_into(view)
            start = buffer.index(b"\r\n\r\n", 0, have) + 4
            length = re.search(rb"Content-Length: (\d+)", bytes(view[:start]))
            assert length, bytes(view[:start])
            whole = start + int(length[1])
            while have < whole:
                have += line.recv_into(view[have:])
            read += int(length[1])
            found = LINK.search(bytes(view[max(whole - TAIL, start) : whole]))
            following = found[1].decode().split("/", 3)[3] if found else None
    return read
