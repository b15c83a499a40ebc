"""The paths of the server: which there are, and who may come in without the token."""

from __future__ import annotations

from urllib.parse import parse_qs

HEALTH = "/health"
STATUS = "/status"
STATUS_SCHEMA = "/status/schema"
CONNECTIONS = "/"
CONNECT = "/connections/{name}/connect"
INVITATION = "/invitations/{token}"
NOTICES = "/exact/notices"
OWN = (HEALTH, STATUS, "/connections", "/invitations", "/exact")  # what begins with one of these is no callback


def is_open(path: str, query: str) -> bool:
    """True where a secret of its own is asked instead of the token: an invitation, a state, Exact's signature."""
    if path in (HEALTH, NOTICES) or path.startswith("/invitations/"):
        return True
    return may_be_callback(path) and "state" in parse_qs(query, keep_blank_values=True)


def may_be_callback(path: str) -> bool:
    """True for a path that means nothing else here."""
    return path != CONNECTIONS and not any(path == own or path.startswith(f"{own}/") for own in OWN)
