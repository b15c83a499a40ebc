"""The one host a connection talks to about itself: token calls, and who and which divisions after consent.

Nothing is sent anywhere else, redirects are not followed, and httpx's exceptions end here. Data is the client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import httpx

from exact_source import odata
from exact_source.clock import Clock
from exact_source.errors import ConfigurationError, Unreachable
from exact_source.events import Listener, RequestDone, ignore

TOKEN_PATH = "/api/oauth2/token"  # noqa: S105 - a path
# A token call holds a lock that others wait for: it may not last longer than this in all.
CALL_SECONDS = 60
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
LARGEST_BODY = 4_000_000
# These fail before a byte of the request leaves; after any other failure Exact may have acted on it.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class NotSent(Unreachable):
    """The request did not leave this machine."""


class Unanswered(Unreachable):
    """The request may have arrived; its answer did not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body of a token call is a secret."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class ExactHost:
    """HTTP to ``base_url`` alone. ``transport`` is for tests; the caller closes."""

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        *,
        listener: Listener = ignore,
    ) -> None:
        self.base_url = base_url
        self._clock = clock
        self._listener = listener
        self._transport = transport
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def post_token(self, form: Mapping[str, str]) -> Answer:
        """One call of the token endpoint, credentials in the form body (§2.2). Raises NotSent or Unanswered."""
        request = self._http.build_request("POST", self.base_url + TOKEN_PATH, data=dict(form))
        return self._send(request)

    def get(self, url: str, access_token: str) -> Answer:
        """One GET with the token; ``url`` is a path on this host, or absolute and on this host."""
        absolute = self.base_url + url if url.startswith("/") and not url.startswith("//") else url
        if not odata.is_of(absolute, self.base_url):
            raise ConfigurationError(f"a link leads away from {self.base_url}; the token is not sent there")
        return self._send(
            self._http.build_request("GET", absolute, headers={"Authorization": f"Bearer {access_token}"})
        )

    @property
    def _http(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                transport=self._transport,
                timeout=TIMEOUT,
                # A kept connection that the other side has dropped would fail in doubt.
                limits=httpx.Limits(max_keepalive_connections=0),
                headers={"Accept": "application/json", "User-Agent": "exact-source"},
                follow_redirects=False,
                trust_env=odata.is_encrypted(self.base_url),
            )
        return self._client

    def _send(self, request: httpx.Request) -> Answer:
        began = self._clock.now()
        try:
            answer = self._answered(request)
        except Unreachable:
            self._tell(request, began, None)
            raise
        self._tell(request, began, answer)
        return answer

    def _tell(self, request: httpx.Request, began: datetime, answer: Answer | None) -> None:
        is_bad = answer is not None and answer.status >= httpx.codes.BAD_REQUEST
        self._listener(
            RequestDone(
                at=began,
                exchange=0,
                division=None,
                entity=None,
                host=request.url.netloc.decode(),
                method=request.method,
                path=request.url.path,
                status=answer.status if answer else None,
                attempt=1,
                wait=0.0,
                duration=(self._clock.now() - began).total_seconds(),
                size=len(answer.body) if answer else 0,
                error="no answer" if answer is None else f"HTTP {answer.status}" if is_bad else None,
            )
        )

    def _answered(self, request: httpx.Request) -> Answer:
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                return Answer(response.status_code, response.headers, self._body(response))
            finally:
                response.close()
        except NEVER_SENT as error:
            # A connection that was never made has no secret to tell; the words hold the reason, such as a certificate.
            raise NotSent(f"{self.base_url} cannot be reached ({error or type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise Unanswered(f"{self.base_url} did not answer ({type(error).__name__})") from None

    def _body(self, response: httpx.Response) -> bytes:
        until = self._clock.now() + timedelta(seconds=CALL_SECONDS)
        parts = bytearray()
        for part in response.iter_bytes():
            parts += part
            if len(parts) > LARGEST_BODY or self._clock.now() > until:
                raise Unanswered(f"{self.base_url} answered too much or too slowly")
        return bytes(parts)
