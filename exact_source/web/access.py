"""Who may ask, judged from values alone: whoever brings the token; without one, programs of this machine."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from exact_source.setting_values import Secret, is_loopback

# A browser has no other way to bring the token than to ask for a password; the user's name does not matter.
CHALLENGE = 'Bearer realm="exact-source", Basic realm="exact-source", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a request says of who sent it. ``address``: of the client. ``is_forwarded``: a proxy passes it on."""

    address: str | None
    host: str
    authorization: str = field(default="", repr=False)
    is_forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The status and words that a visitor is sent away with."""

    status: int
    told: str


def refusal(token: Secret | None, visitor: Visitor) -> Refusal | None:
    """Why a visitor may not come in; None when he may.

    Without a token the name in the Host header must be this machine's: a page elsewhere can give its own name the
    address 127.0.0.1 (DNS rebinding), and then its scripts may read our answers.
    """
    if token is not None:
        is_known = secrets.compare_digest(_brought(visitor.authorization), token.reveal().encode())
        return (
            None if is_known else Refusal(401, "this needs the serve_token: send Authorization: Bearer <serve_token>")
        )
    if visitor.is_forwarded or not is_loopback(visitor.address):
        return Refusal(403, "without the setting serve_token only programs of this machine are answered")
    if not is_loopback(host_name(visitor.host)):
        return Refusal(403, "without the setting serve_token the Host has to be localhost or 127.0.0.1")
    return None


def host_name(host: str) -> str | None:
    """The name or address in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _brought(authorization: str) -> bytes:
    """The token in the header: as it is (Bearer), or as the password (Basic)."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
