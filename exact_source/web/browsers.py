"""How a browser is known again: by a cookie of its own, to which forms and questions for consent are bound."""

from __future__ import annotations

import re
import secrets
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from exact_source.setting_values import is_loopback
from exact_source.web import pages
from exact_source.web.access import host_name

COOKIE = "exact-source"
_USABLE = re.compile(r"[\w-]{43}", re.ASCII)


def known(request: Request) -> str | None:
    """The mark of the browser; None for one that brings none."""
    brought = request.cookies.get(_cookie(request), "")
    return brought if _USABLE.fullmatch(brought) else None


def new_mark() -> str:
    return secrets.token_urlsafe(32)


def shown(text: str, status: int = 200) -> Response:
    """A page."""
    return HTMLResponse(text, status, {"Content-Security-Policy": pages.POLICY})


def marked(request: Request, response: Response, mark: str) -> Response:
    """The answer with the cookie, which lasts until the browser is closed.

    Lax, not Strict: Exact sends the browser back to us, and the cookie has to come along.
    """
    response.set_cookie(_cookie(request), mark, path="/", secure=_is_secure(request), httponly=True, samesite="lax")
    return response


def filled_in(request: Request, body: bytes) -> str | None:
    """The mark of the browser that was shown the form which is sent; None for a form of anybody else."""
    mark = known(request)
    if mark is None or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return None
    given = parse_qs(body.decode("latin-1")).get("token", [""])[0]
    wanted = pages.form_token(mark, request.scope["path"])
    return mark if secrets.compare_digest(given.encode(), wanted.encode()) else None


def _cookie(request: Request) -> str:
    """With the prefix no other name of the same domain can set it."""
    return f"__Host-{COOKIE}" if _is_secure(request) else COOKIE


def _is_secure(request: Request) -> bool:
    """False for this machine alone, where there is no https."""
    return not is_loopback(host_name(request.headers.get("host", "")))
