"""Who gave consent, and for which divisions: asked once, right after a token was received (§10)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exact_source import odata, responses
from exact_source.auth import Authorizer
from exact_source.connections import Division, Identity
from exact_source.errors import ExactError, Forbidden, Unreadable

ME = "/api/v1/current/Me"
MEMBERS = ("Code", "Description", "Country", "Currency", "Status", "BlockingStatus", "CustomerName")
LONGEST_LIST = 1_000  # pages; a link that leads in circles ends here at the latest


def who(authorizer: Authorizer) -> Identity:
    """The user behind the token, from ``current/Me``; it needs no division and spends no quota."""
    rows, _ = _page(authorizer, ME)
    me = rows[0] if rows else {}
    return Identity(
        user_id=_text(me, "UserID"),
        user_name=_text(me, "UserName"),
        full_name=_text(me, "FullName"),
        email=_text(me, "Email"),
        current_division=_number(me, "CurrentDivision"),
    )


def divisions(authorizer: Authorizer, through: Sequence[int]) -> tuple[Division, ...]:
    """All divisions of the consent, listed through the first of ``through`` that the consent includes.

    A division has to be named in the URL, and the one the user last opened may lie outside the consent (§10): that
    gives Forbidden, which is raised when none of them will do.
    """
    refusal: ExactError = Unreadable(
        "Exact did not say which division is the user's; name one in the setting divisions"
    )
    for code in dict.fromkeys(through):
        try:
            return tuple(_listed(authorizer, code))
        except Forbidden as error:
            refusal = error
    raise refusal


def _listed(authorizer: Authorizer, code: int) -> Iterator[Division]:
    link: str | None = odata.path_and_query("{division}/system/Divisions", division=code, select=MEMBERS)
    seen = set[str]()
    while link is not None and link not in seen and len(seen) < LONGEST_LIST:
        seen.add(link)
        rows, link = _page(authorizer, link)
        yield from (_division(row) for row in rows if _number(row, "Code") is not None)


def _division(row: Mapping[str, Any]) -> Division:
    code = _number(row, "Code")
    return Division(
        code=code or 0,
        description=_text(row, "Description") or "",
        country=_text(row, "Country"),
        currency=_text(row, "Currency"),
        status=_number(row, "Status"),
        blocking_status=_number(row, "BlockingStatus"),
        customer=_text(row, "CustomerName"),
    )


def _page(authorizer: Authorizer, url: str) -> tuple[list[Mapping[str, Any]], str | None]:
    where = url.partition("?")[0]
    answer = authorizer.get(url)
    error = responses.failure(answer.status, answer.headers, answer.body, where)
    if error is not None:
        raise error
    try:
        d = json.loads(answer.body.decode("utf-8-sig"))["d"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Unreadable(f"the answer to {where} is not what Exact's API gives; run again later") from None
    link = d.get("__next") if isinstance(d, dict) else None
    return _rows(d), link if isinstance(link, str) else None


def _rows(d: object) -> list[Mapping[str, Any]]:
    """All three shapes of ``d`` (§4.3): an array, an object with results, one object."""
    listed = d.get("results", [d]) if isinstance(d, dict) else d
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _number(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    is_number = (
        isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip().lstrip("-").isdecimal()
    )
    return int(value) if isinstance(value, int | str) and is_number else None
