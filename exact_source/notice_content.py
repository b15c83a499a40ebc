"""What Exact posts when a record changed (§8.2): the document, its signature, and the entities that a topic is about.

No I/O. The signature covers bytes, so the document is taken apart without being written anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from exact_source import catalogue
from exact_source.setting_values import Secret

LARGEST = 64 * 1024  # bytes; a document has some 400
LONGEST = 200  # characters of one member
MOST_DIVISION = 2**31 - 1
CONTENT, HASH = "Content", "HashCode"
# Named in the reference and never needed beside the topics of the entries (§8.3).
LEGACY = frozenset({"FinancialTransactions"})
_SPACE = re.compile(r"[ \t\n\r]*")


class NoNotice(ValueError):
    """Bytes that are no document as Exact posts it; says what is amiss, without the bytes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The two members of a document: ``content`` as it came, byte for byte, and what is said to be its signature."""

    content: bytes
    seal: str

    def is_sealed_with(self, secrets: Iterable[Secret]) -> bool:
        """Compares in constant time, with every secret that is known."""
        found = False
        for secret in secrets:
            due = hmac.new(secret.reveal().encode(), self.content, hashlib.sha256).hexdigest().upper()
            found |= hmac.compare_digest(due.encode(), self.seal.encode("utf-8", "replace"))
        return found


@dataclass(frozen=True, slots=True)
class Notice:
    """One hint that a record changed. ``event`` is when, or names the bytes: a hint that is sent twice has it again."""

    division: int
    topic: str
    key: str
    action: str
    event: str


def taken_apart(body: bytes) -> Sealed:
    """The members of a document, each there once and nothing beside them; NoNotice for anything else."""
    if len(body) > LARGEST:
        raise NoNotice("it is too large")
    try:
        text = body.decode("utf-8")
        members = dict(_members(text))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, NoNotice) else NoNotice("it is no JSON object") from None
    if members.keys() != {CONTENT, HASH}:
        raise NoNotice("it has no Content with a HashCode")
    (start, end, content), (_, _, seal) = members[CONTENT], members[HASH]
    if not isinstance(content, dict) or not isinstance(seal, str):
        raise NoNotice("its Content is no object, or its HashCode no text")
    return Sealed(text[start:end].encode("utf-8"), seal)


def _members(text: str) -> Iterable[tuple[str, tuple[int, int, Any]]]:
    """Name, place and value of each member of the one object that the text has to be."""
    at, seen, decoder = _after(text, 0, "{"), set[str](), json.JSONDecoder()
    while True:
        name, at = decoder.raw_decode(text, _spaced(text, at))
        if not isinstance(name, str):
            raise NoNotice("it is no JSON object")
        start = _spaced(text, _after(text, at, ":"))
        value, end = decoder.raw_decode(text, start)
        if name in seen:
            raise NoNotice(f"it has several members {name[:40]!r}")
        seen.add(name)
        yield name, (start, end, value)
        at = _spaced(text, end)
        if text[at : at + 1] == "}":
            break
        at = _after(text, at, ",")
    if _spaced(text, at + 1) != len(text):
        raise NoNotice("something follows it")


def _after(text: str, at: int, mark: str) -> int:
    """The place behind a mark that has to come next."""
    at = _spaced(text, at)
    if text[at : at + 1] != mark:
        raise NoNotice("it is no JSON object")
    return at + 1


def _spaced(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def read(content: bytes) -> Notice:
    """What a Content says, in whatever order its members stand; NoNotice when it does not say which record."""
    try:
        told = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, NoNotice) else NoNotice("its Content is no JSON") from None
    division, at = told.get("Division"), told.get("EventCreatedOn")
    if not isinstance(division, int) or isinstance(division, bool) or not 0 < division <= MOST_DIVISION:
        raise NoNotice("its Division is no code of a division")
    is_dated = isinstance(at, str) and 0 < len(at) <= LONGEST and at.isprintable()
    return Notice(
        division=division,
        topic=_text(told, "Topic"),
        key=_text(told, "Key").lower(),
        action=_text(told, "Action"),
        event=str(at) if is_dated else hashlib.sha256(content).hexdigest(),
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise NoNotice("a member stands twice in its Content")
    return dict(pairs)


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text or len(text) > LONGEST or not text.isprintable():
        raise NoNotice(f"its {name} is missing, or no short text")
    return text


@cache
def _by_topic() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for entity in catalogue.entities():
        for topic in entity.topics:
            found.setdefault(topic, set()).add(entity.name)
    return {topic: frozenset(names) for topic, names in found.items()}


def topics() -> list[str]:
    """The topics that can be subscribed to."""
    return sorted(_by_topic().keys() - LEGACY)


def entities_of(topic: str) -> frozenset[str]:
    """The entities that a topic is about, lines with their header; none for a topic that is not known."""
    return _by_topic().get(topic, frozenset())


def topics_of(names: Iterable[str]) -> list[str]:
    """The topics to subscribe to in order to hear of these entities."""
    wanted = frozenset(names)
    return [topic for topic in topics() if entities_of(topic) & wanted]
