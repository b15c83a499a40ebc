"""What workers share of alerts: the open problems, the messages that wait, and what each channel has had.

Every change is one short transaction that excludes the others: of several workers one finds news, and one sends.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from exact_source import alert_messages
from exact_source.alert_messages import Context, Message
from exact_source.alert_problems import Book, Clearing, Finding, Key, News, Problem
from exact_source.alert_rules import Arrivals
from exact_source.alert_settings import Channel
from exact_source.setting_values import Secret
from exact_source.store import Store

LEASE = timedelta(seconds=60)
HOUR = timedelta(hours=1)
KEPT = timedelta(days=7)  # a message that nobody could be told in a week is of no use
LOCK = 7_305_814

metadata = sa.MetaData()
PROBLEMS = sa.Table(
    "exact_alert_problems",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)
ARRIVALS = sa.Table(
    "exact_alert_arrivals",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("entity", sa.Text, primary_key=True),
    sa.Column("rows_at", sa.BigInteger, nullable=False),
    sa.Column("read_at", sa.BigInteger),
)
CHANNELS = sa.Table(
    "exact_alert_channels",
    metadata,
    sa.Column("mark", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)
MESSAGES = sa.Table(
    "exact_alert_messages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("mark", sa.Text, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("body", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """``sends``: of the last hour. ``retry_at``: as the channel asks. ``error``: of the last try. In milliseconds."""

    sends: tuple[int, ...] = ()
    retry_at: int = 0
    error: str = ""
    lease: str = ""
    lease_until: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """One POST: a message, or many as a summary. ``ids`` are the messages it holds."""

    ids: tuple[int, ...]
    told: Message


@dataclass(frozen=True, slots=True)
class Arrival:
    """When rows of an entity last came, and when it was last read."""

    rows_at: datetime
    read_at: datetime | None


class AlertStore:
    """The tables above, for one connection. Raises as ``Store`` does."""

    def __init__(self, url: str | Secret, connection: str) -> None:
        self._store = Store(url, metadata)
        self._connection = connection

    def close(self) -> None:
        self._store.close()

    @contextmanager
    def _turn(self, name: str) -> Iterator[sa.Connection]:
        """A transaction for one at a time. SQLite has no other kind."""
        with self._store.translated(), self._store.transaction(is_write=True) as session:
            if session.dialect.name == "postgresql":
                seal = zlib.crc32(name.encode()) - 2**31
                session.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK, seal)))
            yield session

    def problems(self, connection: str | None = None) -> list[tuple[str, Problem]]:
        """The open problems with their connections, the oldest first."""
        query = sa.select(PROBLEMS.c.connection, PROBLEMS.c.state)
        if connection is not None:
            query = query.where(PROBLEMS.c.connection == connection)
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            found = [(name, Problem.from_state(state)) for name, state in session.execute(query)]
        return sorted(found, key=lambda one: (one[1].opened_at, one[0]))

    def arrived(self, arrivals: Arrivals, watched: Collection[str], now: datetime) -> dict[str, Arrival]:
        """Notes what came, and tells of every watched entity (``*``: of any) since when nothing has.

        One that is watched for the first time counts from now.
        """
        at = milliseconds(now)
        with self._turn(self._connection) as session:
            query = sa.select(ARRIVALS.c.entity, ARRIVALS.c.rows_at, ARRIVALS.c.read_at)
            rows = session.execute(query.where(ARRIVALS.c.connection == self._connection))
            known = {name: (rows_at, read_at) for name, rows_at, read_at in rows}
            changed = {}
            for name in watched:
                has_rows = bool(arrivals.rows) if name == "*" else name in arrivals.rows
                is_read = bool(arrivals.read) if name == "*" else name in arrivals.read
                old = known.get(name, (at, None))
                changed[name] = (at if has_rows else old[0], at if is_read else old[1])
            self._write_arrivals(session, known, changed)
        return {
            name: Arrival(moment(rows_at), None if read_at is None else moment(read_at))
            for name, (rows_at, read_at) in changed.items()
        }

    def _write_arrivals(
        self,
        session: sa.Connection,
        known: Mapping[str, tuple[int, int | None]],
        changed: Mapping[str, tuple[int, int | None]],
    ) -> None:
        for name, (rows_at, read_at) in changed.items():
            values = {"rows_at": rows_at, "read_at": read_at}
            if name not in known:
                session.execute(ARRIVALS.insert().values(connection=self._connection, entity=name, **values))
            elif known[name] != (rows_at, read_at):
                of_it = (ARRIVALS.c.connection == self._connection) & (ARRIVALS.c.entity == name)
                session.execute(ARRIVALS.update().where(of_it).values(**values))

    def enter(self, found: tuple[Iterable[Finding], Iterable[Clearing]], now: datetime, post: Postbox) -> list[News]:
        """Enters findings and clearings, and puts the news of them into the post. The news are new to everybody."""
        with self._turn(self._connection) as session:
            query = sa.select(PROBLEMS.c.state).where(PROBLEMS.c.connection == self._connection)
            problems = [Problem.from_state(state) for state in session.scalars(query)]
            before = {problem.key: problem for problem in problems}
            book = Book(dict(before), now)
            book.enter(*found)
            self._write_problems(session, before, book.open)
            session.execute(MESSAGES.delete().where(MESSAGES.c.created_at < milliseconds(now - KEPT)))
            post.put(session, book.news)
        return book.news

    def _write_problems(
        self, session: sa.Connection, before: Mapping[Key, Problem], after: Mapping[Key, Problem]
    ) -> None:
        for key in before.keys() - after.keys():
            session.execute(PROBLEMS.delete().where(self._of(key)))
        for key, problem in after.items():
            if key not in before:
                values = {"connection": self._connection, "name": name_of(key), "state": problem.to_state()}
                session.execute(PROBLEMS.insert().values(**values))
            elif problem != before[key]:
                session.execute(PROBLEMS.update().where(self._of(key)).values(state=problem.to_state()))

    def _of(self, key: Key) -> sa.ColumnElement[bool]:
        return (PROBLEMS.c.connection == self._connection) & (PROBLEMS.c.name == name_of(key))

    def waiting(self, marks: Sequence[str]) -> dict[str, int]:
        """How many messages wait, by channel."""
        query = sa.select(MESSAGES.c.mark, sa.func.count().label("number")).group_by(MESSAGES.c.mark)
        query = query.where(MESSAGES.c.mark.in_(marks))
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return {row.mark: row.number for row in session.execute(query)}

    def errors(self, marks: Sequence[str]) -> dict[str, str]:
        """Why the last message did not get through, by channel."""
        query = sa.select(CHANNELS.c.mark, CHANNELS.c.state).where(CHANNELS.c.mark.in_(marks))
        with self._store.translated(), self._store.transaction(is_write=False) as session:
            return {mark: _state(text).error for mark, text in session.execute(query) if _state(text).error}

    def take(self, mark: str, now: datetime) -> str | None:
        """A lease on a channel that has something to be sent now; None when there is nothing or another has it."""
        with self._turn(mark) as session:
            state, at = self._channel(session, mark), milliseconds(now)
            is_idle = session.scalar(sa.select(MESSAGES.c.id).where(MESSAGES.c.mark == mark).limit(1)) is None
            if is_idle or state.lease_until > at or state.retry_at > at:
                return None
            lease = uuid.uuid4().hex
            self._keep(session, mark, replace(state, lease=lease, lease_until=milliseconds(now + LEASE)))
            return lease

    def next_letter(self, channel: Channel, now: datetime, tried: Collection[int]) -> Letter | None:
        """What to send next: the last letter that an hour allows holds all that is left. With None the lease is over.

        Both in one transaction, so that what another worker finds meanwhile is sent by one of the two.
        """
        with self._turn(channel.mark) as session:
            query = sa.select(MESSAGES.c.id, MESSAGES.c.body).where(MESSAGES.c.mark == channel.mark)
            found = session.execute(query.order_by(MESSAGES.c.id))
            waiting = [(number, json.loads(text)) for number, text in found if number not in tried]
            state = self._channel(session, channel.mark)
            room = channel.per_hour - len(_recent(state, now))
            if not waiting or room <= 0:
                self._keep(session, channel.mark, replace(state, lease="", lease_until=0))
                return None
        if room == 1 and len(waiting) > 1:
            return Letter(tuple(number for number, _ in waiting), alert_messages.summary([m for _, m in waiting], now))
        return Letter((waiting[0][0],), waiting[0][1])

    def sent(self, mark: str, letter: Letter, now: datetime) -> None:
        with self._turn(mark) as session:
            session.execute(MESSAGES.delete().where(MESSAGES.c.id.in_(letter.ids)))
            state = self._channel(session, mark)
            sends = (*_recent(state, now), milliseconds(now))
            self._keep(session, mark, replace(state, sends=sends, error="", retry_at=0))

    def failed(self, mark: str, letter: Letter, failure: tuple[str, datetime | None]) -> None:
        """Keeps the messages for another time; ``failure`` is why, and before when the channel wants no other."""
        error, retry_at = failure
        with self._turn(mark) as session:
            session.execute(MESSAGES.update().where(MESSAGES.c.id.in_(letter.ids)).values(tries=MESSAGES.c.tries + 1))
            until = milliseconds(retry_at) if retry_at else 0
            self._keep(session, mark, replace(self._channel(session, mark), error=error, retry_at=until))

    def release(self, mark: str, lease: str) -> None:
        with self._turn(mark) as session:
            state = self._channel(session, mark)
            if state.lease == lease:
                self._keep(session, mark, replace(state, lease="", lease_until=0))

    def _channel(self, session: sa.Connection, mark: str) -> ChannelState:
        text = session.scalar(sa.select(CHANNELS.c.state).where(CHANNELS.c.mark == mark))
        return _state(text)

    def _keep(self, session: sa.Connection, mark: str, state: ChannelState) -> None:
        text = json.dumps(asdict(state))
        done = session.execute(CHANNELS.update().where(CHANNELS.c.mark == mark).values(state=text))
        if done.rowcount == 0:
            session.execute(CHANNELS.insert().values(mark=mark, state=text))


@dataclass(frozen=True, slots=True)
class Postbox:
    """Puts news as messages before the channels that want them."""

    channels: Sequence[Channel]
    context: Context

    def put(self, session: sa.Connection, news: Iterable[News]) -> None:
        held = sa.select(MESSAGES.c.mark, MESSAGES.c.problem).where(MESSAGES.c.connection == self.context.connection)
        waiting = {(mark, problem) for mark, problem in session.execute(held)}
        rows = [
            {
                "mark": channel.mark,
                "connection": self.context.connection,
                "problem": name_of(one.problem.key),
                "created_at": milliseconds(one.at),
                "tries": 0,
                "body": json.dumps({"id": uuid.uuid4().hex, **alert_messages.message(one, self.context)}),
            }
            for one in news
            for channel in self.channels
            if one.problem.kind in channel.on
            # Nobody is reminded of what he was not told yet.
            and (one.event != "reminder" or (channel.mark, name_of(one.problem.key)) not in waiting)
        ]
        if rows:
            session.execute(MESSAGES.insert(), rows)


def name_of(key: Key) -> str:
    """The name of a problem within its connection."""
    return json.dumps(key)


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _state(text: Any) -> ChannelState:
    if text is None:
        return ChannelState()
    raw = json.loads(text)
    return ChannelState(**{**raw, "sends": tuple(raw["sends"])})


def _recent(state: ChannelState, now: datetime) -> tuple[int, ...]:
    return tuple(at for at in state.sends if at > milliseconds(now - HOUR))
