"""What every request passes: it is let in or sent away, answered with careful headers, and nothing of it is logged."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exact_source.setting_values import Secret
from exact_source.web import paths
from exact_source.web.access import CHALLENGE, Visitor, refusal

log = logging.getLogger("exact_source")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Gate:
    """Stands before the application. ``token``: the setting ``serve_token``."""

    def __init__(self, app: ASGIApp, token: Secret | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def careful(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._passed(scope, receive, careful)
        except Exception as error:
            # Its words may hold anything; where it arose does not.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            log.error("unexpected %s in %s:%s", type(error).__name__, Path(frame.filename).name, frame.lineno)
            if not is_begun:
                await PlainTextResponse("unexpected error", 500)(scope, receive, careful)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if not paths.is_open(scope["path"], request.url.query):
            refused = refusal(self._token, _visitor(request))
            if refused is not None:
                headers = {"WWW-Authenticate": CHALLENGE} if refused.status == 401 else {}
                await PlainTextResponse(f"{refused.told}\n", refused.status, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _visitor(request: Request) -> Visitor:
    headers = request.headers
    return Visitor(
        address=request.client.host if request.client else None,
        host=headers.get("host", ""),
        authorization=headers.get("authorization", ""),
        is_forwarded=any(name in headers for name in FORWARDED),
    )
