"""OData literals as the sandbox reads and writes them: ``guid'…'``, ``datetime'…'``, ``123L``, ``'text'`` (§4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from exact_source.catalogue import Field
from exact_source.sandbox.amsterdam import iso_text, to_milliseconds
from exact_source.sandbox.messages import bad_query

NULL = "null"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SUFFIXES = {"l": "Edm.Int64", "d": "Edm.Double", "f": "Edm.Single", "m": "Edm.Decimal"}
_WHOLE = frozenset({"Edm.Byte", "Edm.Int16", "Edm.Int32", "Edm.Int64"})
NUMERIC = _WHOLE | {"Edm.Double", "Edm.Single", "Edm.Decimal"}
_INT32 = 1 << 31
_INT64 = 2**63
_LONGEST = 40  # digits that are worth reading; no number is longer
# Kept on the path and in options of a next link; colon and space are escaped (§4.5).
URL_SAFE = "$,'()*!-_.~"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: moments are milliseconds of the wall clock, guids lower case."""

    edm: str
    value: object


def quoted_literal(prefix: str, text: str) -> Literal:
    """``guid'…'``, ``datetime'…'`` or, without prefix, a string; ``text`` is what stands between the quotes."""
    if prefix == "":
        return Literal("Edm.String", text.replace("''", "'"))
    if prefix == "guid" and _GUID.fullmatch(text):
        return Literal("Edm.Guid", text.lower())
    if prefix == "datetime":
        return Literal("Edm.DateTime", _moment(text))
    raise bad_query()


def number_literal(text: str) -> Literal:
    suffix = _SUFFIXES.get(text[-1].lower())
    digits = text[:-1] if suffix else text
    if suffix and suffix != "Edm.Int64":
        return Literal(suffix, float(digits))
    if suffix is None and not digits.lstrip("+-").isdecimal():
        return Literal("Edm.Double", float(digits))
    if not digits.lstrip("+-").isdecimal():
        raise bad_query()
    value = int(digits) if len(digits) < _LONGEST else _INT64
    if not -_INT64 <= value < _INT64:
        raise bad_query()
    return Literal(suffix or ("Edm.Int32" if -_INT32 <= value < _INT32 else "Edm.Int64"), value)


def word_literal(word: str) -> Literal | None:
    if word in {"true", "false"}:
        return Literal("Edm.Boolean", word == "true")
    return Literal(NULL, None) if word == NULL else None


def _moment(text: str) -> int:
    """A wall-clock time; a date alone is accepted, a zone is not."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_query() from None
    if moment.tzinfo is not None:
        raise bad_query()
    return to_milliseconds(moment)


_LITERAL = re.compile(r"\s*(?:(?P<prefix>[a-zA-Z]*)'(?P<text>(?:[^']|'')*)'|(?P<plain>[^,'\s]+))\s*(,|$)")


def read_literals(text: str) -> list[Literal]:
    """A comma list of literals, as in a key or a skip token."""
    found, position = [], 0
    while position < len(text):
        match = _LITERAL.match(text, position)
        if match is None:
            raise bad_query()
        plain = match["plain"]
        found.append(quoted_literal(match["prefix"], match["text"]) if plain is None else _plain(plain))
        position = match.end()
    return found


def _plain(text: str) -> Literal:
    word = word_literal(text)
    if word is not None:
        return word
    try:
        return number_literal(text)
    except ValueError:
        raise bad_query() from None


def literal_text(member: Field, value: object) -> str:
    """A value as a literal of the member's type, not yet escaped."""
    if value is None:
        return NULL
    edm = member.edm
    if edm == "Edm.Guid":
        return f"guid'{value}'"
    if edm == "Edm.DateTime":
        return f"datetime'{iso_text(int(str(value)))}'"
    if edm == "Edm.String":
        return "'" + str(value).replace("'", "''") + "'"
    if edm == "Edm.Boolean":
        return str(value).lower()
    return f"{value}L" if edm == "Edm.Int64" else str(value)


def escape(text: str) -> str:
    return quote(text, safe=URL_SAFE)


def fits(member: Field, literal: Literal) -> bool:
    """Whether a literal can stand for a value of the member."""
    if literal.edm == NULL:
        return True
    if member.edm in NUMERIC:
        return literal.edm in NUMERIC
    return literal.edm == member.edm
