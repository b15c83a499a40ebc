"""What is said of a problem: one JSON document for webhooks, and the same as Slack wants it. Values only; no I/O.

Slack: https://docs.slack.dev/messaging/formatting-message-text (``& < >`` are written as entities) and
https://docs.slack.dev/reference/block-kit/blocks (150 characters in a header, 3,000 in a section, 2,000 in a field).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from exact_source import signing
from exact_source.alert_problems import News, Problem
from exact_source.alert_settings import KINDS, Channel
from exact_source.redaction import masked

Message: TypeAlias = dict[str, Any]
VERSION = 1
HEADER, SECTION, FIELD, TEXT = 150, 3000, 2000, 4000
NAMED, LINES = 10, 20  # names in a line, lines in a message
PREFIXES = {"opened": "", "updated": "more: ", "reminder": "still: ", "resolved": "resolved: "}
MARKS = {
    "opened": ":red_circle:",
    "updated": ":red_circle:",
    "reminder": ":repeat:",
    "resolved": ":large_green_circle:",
}


@dataclass(frozen=True, slots=True)
class Context:
    """Whose problem it is, in words of the owner, and the run that met it."""

    connection: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    host: str | None = None


def message(news: News, context: Context) -> Message:
    """The document of one problem, as a webhook gets it; only ``id`` and ``sent_at`` come later."""
    problem = news.problem
    is_over = news.event == "resolved"
    return {
        "version": VERSION,
        "event": news.event,
        "kind": problem.kind,
        "connection": context.connection,
        "division": problem.division,
        "entity": problem.entity,
        "title": masked(_title(news, context)),
        "what": [masked(line) for line in lines(problem)],
        "cure": None if is_over else masked(problem.cure),
        "opened_at": problem.opened_at.isoformat(),
        "at": news.at.isoformat(),
        "tags": list(context.tags),
        "metadata": dict(context.metadata),
        "run_id": context.run_id,
        "host": context.host,
    }


def summary(messages: Sequence[Message], at: datetime) -> Message:
    """Many messages as one, when a channel has had enough of them for an hour."""
    names = sorted({one["connection"] for one in messages})
    whose = names[0] if len(names) == 1 else f"{len(names)} connections"
    return {
        "version": VERSION,
        "event": "summary",
        "title": f"{whose}: {len(messages):,} more messages within the hour",
        "what": [one["title"] for one in messages],
        "cure": "see `exact-source alerts` for all that is open",
        "at": at.isoformat(),
        "messages": list(messages),
    }


def trial(connection: str, at: datetime) -> Message:
    """What ``exact-source alerts test`` sends."""
    return {
        "version": VERSION,
        "event": "test",
        "connection": connection,
        "title": f"{connection}: this is a test of alerts",
        "what": ["A problem would be told here, once, and again when it has ended."],
        "cure": None,
        "at": at.isoformat(),
    }


def _title(news: News, context: Context) -> str:
    problem = news.problem
    where = [context.connection]
    where += [f"division {problem.division}"] if problem.division is not None else []
    where += [problem.entity] if problem.entity is not None else []
    named = sorted(problem.items) if problem.kind in ("entity_failed", "rejected") else []
    told = f" ({_some(named)})" if named else ""
    return f"{PREFIXES[news.event]}{', '.join(where)}: {KINDS[problem.kind]}{told}"


def lines(problem: Problem) -> list[str]:
    """What happened, each text once with the names it is about."""
    met: defaultdict[str, list[str]] = defaultdict(list)
    for name, told in problem.items.items():
        met[told].append(name)
    is_named = problem.kind in ("entity_failed", "rejected", "schema")
    return [f"{_some(sorted(names))}: {told}" if is_named else told for told, names in met.items()]


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def body(channel: Channel, told: Message, at: datetime) -> bytes:
    """What is posted."""
    document = slack(told) if channel.kind == "slack" else {**told, "sent_at": at.isoformat()}
    return json.dumps(document, ensure_ascii=False).encode()


def headers(channel: Channel, posted: bytes, at: datetime) -> dict[str, str]:
    """With a secret, a webhook is signed."""
    given = {"Content-Type": "application/json", "User-Agent": "exact-source"}
    if channel.secret is None or channel.kind == "slack":
        return given
    return {**given, **signing.headers(channel.secret, posted, at)}


def slack(told: Message) -> Message:
    """``text`` is for notifications and old clients, ``blocks`` for the eye."""
    mark = MARKS.get(told["event"], ":information_source:")
    blocks: list[Message] = [_section(f"{mark} *{escaped(told['title'], HEADER)}*")]
    what = told["what"]
    lines = [f"• {line}" if len(what) > 1 else line for line in what[:LINES]]
    lines += [f"… and {len(what) - LINES:,} more"] if len(what) > LINES else []
    if lines:
        blocks.append(_section(escaped("\n".join(lines), SECTION)))
    if told["cure"]:
        blocks.append(_section(f"*What to do:* {escaped(told['cure'], SECTION - 20)}"))
    fields = _fields(told)
    if fields:
        blocks.append({"type": "section", "fields": fields})
    text = "\n".join([told["title"], *what[:LINES], *([told["cure"]] if told["cure"] else [])])
    return {"text": escaped(text, TEXT), "blocks": blocks}


def _section(text: str) -> Message:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Message:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _fields(told: Message) -> list[Message]:
    """Ten at most, as Slack allows."""
    tags = ", ".join(told.get("tags") or ())
    division = told.get("division")
    given = [
        ("Connection", told.get("connection")),
        ("Division", None if division is None else str(division)),
        ("Since", _minute(told.get("opened_at"))),
        ("Run", told.get("run_id")),
        ("Host", told.get("host")),
        ("Tags", tags or None),
        *(told.get("metadata") or {}).items(),
    ]
    known = [(name, value) for name, value in given if value][:10]
    return [_mrkdwn(f"*{escaped(name, 200)}*\n{escaped(value, FIELD - 300)}") for name, value in known]


def _minute(moment: str | None) -> str | None:
    return moment and f"{moment[:10]} {moment[11:16]} UTC"


def escaped(text: str, longest: int) -> str:
    """As Slack wants it, cut where it is too long and never within an entity."""
    parts = [{"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter, letter) for letter in text]
    if sum(map(len, parts)) <= longest:
        return "".join(parts)
    kept, left = [], longest - 1
    for part in parts:
        left -= len(part)
        if left < 0:
            break
        kept.append(part)
    return "".join(kept) + "…"
