"""The door without a network: an httpx transport that talks to the sandbox in this process."""

from __future__ import annotations

import httpx

from exact_source.clock import Clock
from exact_source.sandbox.messages import Reply, Request
from exact_source.sandbox.service import Service

HOSTS = frozenset(f"start.exactonline.{ending}" for ending in ("nl", "be", "de", "fr", "es", "co.uk", "com"))


class SandboxTransport(httpx.BaseTransport):
    """Every regional host of Exact, answered by one sandbox. Broken deliveries become httpx's own exceptions."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host not in HOSTS:
            raise httpx.ConnectError(f"the sandbox does not answer for {request.url.host}", request=request)
        reply = self._service.handle(_received(request))
        self._wait(request, reply)
        if reply.breakage == "reset":
            raise httpx.ReadError("connection reset by peer", request=request)
        if reply.breakage == "truncated":
            raise httpx.RemoteProtocolError("peer closed connection without sending the complete body", request=request)
        extensions = {"reason_phrase": reply.reason.encode()} if reply.reason else {}
        return httpx.Response(
            reply.status, headers=list(reply.headers), content=reply.body, extensions=extensions, request=request
        )

    def _wait(self, request: httpx.Request, reply: Reply) -> None:
        """Let the delay pass, or the caller's patience."""
        patience = request.extensions.get("timeout", {}).get("read")
        if patience is not None and reply.delay > patience:
            self._clock.sleep(patience)
            raise httpx.ReadTimeout("the sandbox takes longer than the read timeout", request=request)
        self._clock.sleep(reply.delay)


def _received(request: httpx.Request) -> Request:
    return Request(
        method=request.method,
        host=f"{request.url.scheme}://{request.url.netloc.decode()}",
        target=request.url.raw_path.decode(),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.read(),
    )
