"""What an answer of the token endpoint means (§2.3, §2.4): status, headers and body in, a verdict out. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import unquote

SHOWN = 200  # characters of a foreign text that a message repeats


class Verdict(Enum):
    """What became of the refresh token or code that was sent."""

    GRANTED = auto()  # exchanged; the body holds the new pair
    TOO_EARLY = auto()  # untouched; the access token in use is too young to be replaced
    OLD_TOKEN = auto()  # it had been exchanged before
    EXPIRED = auto()  # nobody used it for 30 days
    UNKNOWN_GRANT = auto()  # superseded, withdrawn, or a code used twice or too late
    WRONG_APP = auto()  # untouched; client id or secret are not right
    REFUSED = auto()  # untouched; any other refusal
    UNCLEAR = auto()  # an outage or a garbled answer: nobody knows


@dataclass(frozen=True, slots=True)
class Reading:
    """A verdict and, for messages, Exact's own short words."""

    verdict: Verdict
    told: str


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reading:
    """Never raises. What is not plainly a refusal is UNCLEAR: a token is never given up for an outage."""
    answer = _object(body)
    error = _word(answer, "error")
    told = _word(answer, "error_description")
    if 200 <= status < 300:
        has_token = isinstance(answer.get("access_token"), str)
        return Reading(Verdict.GRANTED if has_token else Verdict.UNCLEAR, "an answer without a token")
    if "TooEarlyToRefreshTokens" in headers.get("Reason", "") or (status == 400 and _is_too_early(error, told)):
        return Reading(Verdict.TOO_EARLY, told)
    if not 400 <= status < 500 or not error or status in (408, 429):
        return Reading(Verdict.UNCLEAR, _outage(status, body))
    return Reading(_refusal(error, told), told or error)


def _is_too_early(error: str, told: str) -> bool:
    return error == "access_denied" and "not expired" in told


def _refusal(error: str, told: str) -> Verdict:
    known = told.lower()
    if error == "unauthorized_client" and "old refresh token" in known:
        return Verdict.OLD_TOKEN
    if "refresh token expired" in known:
        return Verdict.EXPIRED
    if error == "invalid_grant":
        return Verdict.UNKNOWN_GRANT
    if error in ("invalid_client", "unauthorized_client") or (error == "invalid_request" and not told):
        return Verdict.WRONG_APP
    return Verdict.REFUSED


def _outage(status: int, body: bytes) -> str:
    if b"<html" in body[:2000].lower():
        return f"HTTP {status} with a web page"
    return f"HTTP {status} with an empty body" if not body.strip() else f"HTTP {status}"


def _object(body: bytes) -> Mapping[str, object]:
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _word(answer: Mapping[str, object], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        return ""
    # Long unbroken runs are left out: no explanation looks like that, a token does.
    plain = re.sub(r"[\w.!~+/=-]{40,}", "***", value)
    return "".join(letter for letter in plain if letter.isprintable())[:SHOWN].strip()


def says_expired(header: str) -> bool:
    """True when the ``WWW-Authenticate`` of a 401 says that the access token lived out (§2.5)."""
    told = unquote(header).lower().replace("+", " ")
    return "access token expired" in told or "message expired" in told
