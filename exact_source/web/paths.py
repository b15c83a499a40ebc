"""The paths of the server: which there are, who may come in without the token, and where consent comes back to.

Needs no web framework, so that links can be made without one.
"""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from exact_source.errors import ConfigurationError
from exact_source.setting_values import is_loopback
from exact_source.settings import Settings, require_redirect_uri

HEALTH = "/health"
STATUS = "/status"
STATUS_SCHEMA = "/status/schema"
CONNECTIONS = "/"
CONNECT = "/connections/{name}/connect"
INVITATIONS = "/invitations/"
NOTICES = "/exact/notices"
OWN = (HEALTH, STATUS, "/connections", "/invitations", "/exact")  # what begins with one of these is no callback
PORTS = {"http": 80, "https": 443}


def is_open(path: str, query: str) -> bool:
    """True where a secret of its own is asked instead of the token: an invitation, a state, Exact's signature."""
    if path in (HEALTH, NOTICES) or path.startswith(INVITATIONS):
        return True
    return _may_be_callback(path) and "state" in parse_qs(query, keep_blank_values=True)


def callback_uri(settings: Settings, port: int) -> str:
    """The redirect URI to ask with: the registered one, which gets our port when it leads to this machine without one.

    Raises ConfigurationError when what comes back to it could not be taken here.
    """
    uri = require_redirect_uri(settings)
    parts = urlsplit(uri)
    if not _may_be_callback(parts.path):
        raise ConfigurationError(
            f"redirect_uri {uri!r} leads to {parts.path or '/'}, where this server shows something else; register"
            f" {parts.scheme}://{parts.netloc}/callback with your app in the Exact App Center, and write it as"
            " redirect_uri"
        )
    if is_of_this_machine(parts) and parts.port is None:
        name = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        return urlunsplit(parts._replace(netloc=f"{name}:{port}"))
    return uri


def check_origin(uri: str, host: str) -> None:
    """ConfigurationError when the answer would come to another address than ``host``, where the page was opened.

    Only for addresses of this machine: before others stands a proxy, which may give us any Host.
    """
    parts = urlsplit(uri)
    if is_of_this_machine(parts) and _place(parts) != _place(urlsplit(f"http://{host}")):
        raise ConfigurationError(
            f"redirect_uri {uri!r} does not lead to {host}, where this page was opened: open"
            f" http://{parts.netloc}/ instead, with the server started on that port"
            f" (`exact-source serve --port {parts.port or 80}`)"
        )


def invitation_url(settings: Settings, token: str, port: int) -> str:
    """The link for whoever is invited: where consent comes back to is also where they can reach this server."""
    parts = urlsplit(callback_uri(settings, port))
    return f"{parts.scheme}://{parts.netloc}{INVITATIONS}{token}"


def is_of_this_machine(parts: SplitResult) -> bool:
    return parts.scheme == "http" and is_loopback(parts.hostname)


def _may_be_callback(path: str) -> bool:
    """True for a path that means nothing else here."""
    return path not in ("", CONNECTIONS) and not any(path == own or path.startswith(f"{own}/") for own in OWN)


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    try:
        return parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None, None
