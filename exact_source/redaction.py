"""What may be kept or shown of foreign words and bodies: no secret, and nothing that looks personal. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "***"
LONGEST_PARSED = 8_000_000  # bytes of a body; one that is larger is not kept at all
# Tokens are longer than any word or path segment, and begin like this (§2.2); an address may hold a password.
_LONG = re.compile(r"[\w.!~+=-]{60,}")
_BEGUN = re.compile(r"stamp[A-Z]{2}[0-9]{3}\.[\w.!~%+=-]*")
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# A field is left out when its name, without case and signs, holds one of these.
PERSONAL = (
    "address apikey attachment authorization bankaccount bic birth bsn cardnumber contactname contactperson email fax "
    "firstname fullname gender iban identificationdocument initials lastname logo mail marital middlename mobile "
    "nationality partnername passport password phone picture postcode presentationfile rsin salary secret "
    "socialsecurity taxpayer thumbnail token username vatnumber wage"
).split()


def masked(text: str) -> str:
    """The text without what may be a secret, and without anything that steers a terminal."""
    text = _LONG.sub(HIDDEN, _BEGUN.sub(HIDDEN, _PASSWORD.sub(rf"\1:{HIDDEN}@", text)))
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def private(text: str) -> str:
    """As ``masked``, and without bank accounts and e-mail addresses."""
    text = masked(text)
    if "@" in text:
        text = _MAIL.sub(HIDDEN, text)
    return _IBAN.sub(HIDDEN, text)


def names_of(given: Iterable[str]) -> tuple[str, ...]:
    """What names of fields must not hold: the known words, and those ``given``."""
    return (*PERSONAL, *filter(None, map(_plain, given)))


def redacted(body: bytes, names: tuple[str, ...]) -> str | None:
    """A JSON body without the values of fields that ``names`` speak of; None for a body that cannot be judged."""
    if not body or len(body) > LONGEST_PARSED:
        return None
    try:
        return json.dumps(_without(json.loads(body), names, {}), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _without(value: Any, names: tuple[str, ...], known: dict[str, bool]) -> Any:
    """``known`` remembers the names that were judged."""
    if isinstance(value, dict):
        return {private(key): _field(key, one, names, known) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, names, known) for one in value]
    return private(value) if isinstance(value, str) else value


def _field(name: str, value: Any, names: tuple[str, ...], known: dict[str, bool]) -> Any:
    is_hidden = known.get(name)
    if is_hidden is None:
        plain = _plain(name)
        is_hidden = known[name] = any(word in plain for word in names)
    if is_hidden:
        return value if value is None or isinstance(value, bool) else HIDDEN
    return _without(value, names, known)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
