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
    refusal: ExactError = Unreadable("Exact did not say which division is the user's; name one in the setting divisions")
    for code in dict.fromkeys(through):
        try:
            return tuple(_listed(authorizer, code))
        except Forbidden as error:
            refusal = error
    raise refusal


def _listed(authorizer: Authorizer, code: int) -> Iterator[Division]:
    link: str | None = odata.path_and_query("system/Divisions", division=code, select=MEMBERS)
    seen = set[str]()
    while link is not None and link not in seen and len(seen) < LONGEST_LIST:
        seen.add(link)
        rows, link = _page(authorizer, link)
        yield from (_division(row) for row in rows if _number(row, "Code") is not None)
