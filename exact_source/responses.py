"""What an answer of Exact means: status, headers and body in, a typed error out. No I/O.

Facts: reference §5 (errors), §2.5 (401), §3.3-3.5 (429, velocity, filters). Nothing here raises; errors are returned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from exact_source.errors import (
    BadQuery,
    BusinessRule,
    ExactError,
    Forbidden,
    Maintenance,
    NotFound,
    Rejected,
    Retryable,
    ServerFault,
    Unreadable,
)

GENERIC_FAULTS = (
    "a problem has occurred",
    "the cause of this issue will be investigated",
    "internal server error",
    "an error occurred while processing this request",
)
# Header `Reason` of a 403, in words that say what to do. Observed by picqer's users, pull request 451.
REASONS = {
    "BlockedUser": "the Exact user is blocked; ask the administrator of Exact to unblock the user",
    "InactiveUser": "the Exact user is inactive; reconnect with an active user",
    "BlockedCustomer": "the Exact licence is blocked; its owner has to contact Exact",
    "LicenseExpired": "the Exact licence has expired",
    "DivisionBlocked": "the division is blocked, for instance during a backup or conversion; try again later",
    "NoDivisionAccess": "the Exact user has no access to this division; ask for access or leave the division out",
    "WrongDivision": "the division does not belong to this licence or region",
}
SHOWN = 300  # characters of a foreign text that a message repeats
WHOLE = 2_000  # of a business error, which a person has to read to its end
FIELD_NAME = re.compile(r"[^:]+: (?P<name>[^:]{1,60})")  # ``Verplicht: Serie``, whatever the language (§5)
MISSING_MEMBER = re.compile(
    r"(?:Could not find a property named|No property) '(?P<name>\w+)'|"
    r"property name '(?P<other>\w+)' specified for type"
)


def failure(status: int, headers: Mapping[str, str], body: bytes, where: str) -> ExactError | None:
    """The error an answer stands for, or None when it is a good one. 401 and 429 are the client's own business."""
    if 200 <= status < 300:
        return None
    told = message(body)
    if status in (500, 501) and told and _is_enveloped(body) and not is_generic(told):
        whole = words(body)
        return BusinessRule(f"Exact refused {where}: {_one_line(whole)}", told=whole, fields=_fields(whole))
    if status >= 500 or status == 408:
        return _fault(status, body, where)
    if 300 <= status < 400:
        return Unreadable(f"{where} was redirected (HTTP {status}), which Exact's API never does; nothing was followed")
    return _refusal((status, words(body)), headers, told, where)


def _refusal(reply: tuple[int, str], headers: Mapping[str, str], told: str, where: str) -> Rejected:
    status, whole = reply
    if status == 403:
        reason = headers.get("Reason", "").split(":")[0].strip()
        is_division_wide = reason in REASONS or "division scope" in told
        return Forbidden(
            f"Exact forbids {where}: {_forbidden(headers, told)}", told=whole, is_division_wide=is_division_wide
        )
    if status == 404:
        return NotFound(f"Exact knows no {where} (HTTP 404){_colon(told)}", told=whole)
    if status == 400:
        found = MISSING_MEMBER.search(whole)
        return BadQuery(
            f"Exact does not accept the query of {where}{_colon(told) or ' (HTTP 400 without a text)'}",
            told=whole,
            fields=(found["name"] or found["other"],) if found else (),
        )
    return Rejected(f"Exact refused {where} with HTTP {status}{_colon(told)}", told=whole)


def _fields(whole: str) -> tuple[str, ...]:
    """The fields that the messages of a business error name after their colon."""
    found = (FIELD_NAME.fullmatch(line.strip()) for line in whole.splitlines())
    return tuple(one["name"] for one in found if one)


def _fault(status: int, body: bytes, where: str) -> Retryable:
    if status in (502, 503, 504) or looks_like_html(body):
        return Maintenance(f"Exact is down or in maintenance (HTTP {status} on {where}); run again later")
    return ServerFault(f"Exact reports a fault of its own (HTTP {status} on {where}); run again later")


def _forbidden(headers: Mapping[str, str], told: str) -> str:
    reason = headers.get("Reason", "").strip()
    known = REASONS.get(reason.split(":")[0].strip())
    if known:
        return f"{known} ({reason})"
    if "division scope" in told:
        return "the consent does not include this division; run `exact-source connect` and choose it"
    if "Scope Violated" in told:
        return f"{told} - the app lacks this scope; add it in the Exact App Center and connect again"
    return reason or told or "no right to read this; ask the administrator of Exact"


def _colon(told: str) -> str:
    return f": {told}" if told else ""


def message(body: bytes) -> str:
    """The text of an error body in JSON or XML, on one line and shortened; empty when there is none."""
    return _one_line(words(body))[:SHOWN]


def words(body: bytes) -> str:
    """The text of an error body as Exact wrote it, several messages on lines of their own."""
    raw = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    return _error_text(raw).strip()[:WHOLE]


def _one_line(whole: str) -> str:
    return " | ".join(whole.split("\r\n")).replace("\n", " ").strip()


def _is_enveloped(body: bytes) -> bool:
    """True for an error as Exact's service writes it; plain text and HTML come from the gateway before it (§5)."""
    return body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"{", b"<"))


def _error_text(raw: str) -> str:
    if raw.startswith("{"):
        return _json_error(raw)
    found = re.search(r"<message[^>]*>(.*?)</message>", raw, re.DOTALL)
    if found:
        return found[1]
    return "" if raw.startswith("<") else raw


def _json_error(raw: str) -> str:
    try:
        error = json.loads(raw).get("error")
    except (ValueError, AttributeError, RecursionError):
        return ""
    if isinstance(error, dict):
        told = error.get("message")
        value = told.get("value") if isinstance(told, dict) else told
        return value if isinstance(value, str) else ""
    return error if isinstance(error, str) else ""


def is_generic(told: str) -> bool:
    """True for the text Exact gives when the fault is its own (§5)."""
    return told.lower().startswith(GENERIC_FAULTS)


def looks_like_html(body: bytes) -> bool:
    start = body.lstrip()[:200].lower()
    return start.startswith((b"<!doctype html", b"<html"))


def missing_member(error: BadQuery) -> str | None:
    """The member that a 400 says the endpoint does not have, if that is what it says."""
    found = MISSING_MEMBER.search(str(error))
    return (found["name"] or found["other"]) if found else None


def wants_filter(error: BadQuery) -> bool:
    """True for the text of mandatory filtering (§3.5)."""
    return "mandatory filtering" in str(error)
