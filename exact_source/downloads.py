"""Sends one request; the body of a good answer is kept in memory, or poured into a sink as it arrives."""

from __future__ import annotations

from contextlib import closing

import httpx

from exact_source.exchange import Sink


def sent(http: httpx.Client, request: httpx.Request, sink: Sink | None) -> httpx.Response:
    """The answer; without the body that a sink took. Raises httpx.HTTPError, also in the middle of a body."""
    if sink is None:
        return http.send(request)
    with closing(http.send(request, stream=True)) as reply:
        if reply.status_code != httpx.codes.OK:
            reply.read()
            return reply
        sink(reply.headers, reply.iter_bytes())
        return httpx.Response(reply.status_code, headers={**reply.headers, "Content-Length": "0"})
