"""What may go wrong on the way to a subscriber: receivers that are down or slow, kills, two senders, wrong addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import dlt
import duckdb
import pytest

from alert_receiver import Answer
from command_line import FIRST, SECOND, Desk, accounts, table
from connecting import processes
from exact_source import Order, Surroundings, Target, run, webhooks
from exact_source.changes import OTHER_FORMAT, Announcer
from exact_source.clock import ManualClock
from exact_source.events import Change, Event, Loaded, Loading, StageReached, ignore
from exact_source.observers import observed
from exact_source.settings import load_settings
from exact_source.webhook_queue import Queue
from interruption import ENTITIES, Commands, Limits, Mirror, books, finished
from strict_exact import Division, StrictExact
from test_hosts import Served, certificate
from webhook_receiver import ACCOUNTS, KEY, SETTING, Subscriber, listed, load, states

DIVISIONS = range(FIRST, FIRST + 5)


@dataclass(frozen=True)
class Office:
    """A desk with a clock that only moves when it is told to, in five divisions."""

    desk: Desk
    clock: ManualClock
    told: Mapping[str, Any]

    def run(self) -> None:
        order = Order(entities=("accounts",), target=self.desk.place.target)
        assert run(order, Surroundings(self.clock, overrides=self.told)).status == "succeeded"

    def deliver(self) -> None:
        settings = load_settings("default", **self.told)
        with closing(Queue(settings.token_store, "default")) as queue:
            webhooks.deliver(settings, self.clock, queue)

    def queue(self) -> list[dict[str, Any]]:
        return listed(self.desk)


@pytest.fixture
def office(tmp_path: Path, subscriber: Subscriber) -> Iterator[Office]:
    clock = ManualClock()
    rows = {code: accounts(2, code) for code in DIVISIONS}
    with StrictExact([table(ACCOUNTS, rows)], [Division(code) for code in DIVISIONS], clock=clock.now) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect(clock)
        yield Office(desk, clock, {**desk.overrides, "webhooks": [subscriber.setting()]})


def test_tries_are_ever_further_apart_until_one_is_given_up_after_almost_three_days(
    office: Office, subscriber: Subscriber
) -> None:
    subscriber.receiver.answers += [Answer(503)] * 200
    office.run()
    start, waits = office.clock.now(), []
    while len({one["state"] for one in office.queue()} & {"due"}):
        subscriber.take()
        next_at = min(datetime.fromisoformat(one["next_at"]) for one in office.queue())
        waits.append((next_at - office.clock.now()).total_seconds())
        office.clock.advance(seconds=waits[-1] - 1)
        office.deliver()
        assert subscriber.take() == []
        office.clock.advance(seconds=1)
        office.deliver()
        assert len(subscriber.take()) == len(DIVISIONS)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (10, 6 * 3600)
    assert timedelta(days=2.5) < office.clock.now() - start < timedelta(days=3)
    assert {one["state"] for one in office.queue()} == {"dead"}
    assert {one["tries"] for one in office.queue()} == {len(waits) + 1}
    office.clock.advance(days=1)
    office.deliver()
    assert subscriber.take() == []


def test_a_slow_receiver_holds_up_the_end_of_a_run_by_some_seconds_only(office: Office, subscriber: Subscriber) -> None:
    subscriber.receiver.before = partial(office.clock.advance, seconds=4)
    office.run()
    assert len(subscriber.take()) == 3
    subscriber.receiver.before = lambda: None
    office.run()
    assert len(subscriber.take()) == 2


def test_nobody_there_costs_a_run_nothing_and_is_told_later(desk: Desk, subscriber: Subscriber) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = subscriber.setting(url=f"http://127.0.0.1:{closed.getsockname()[1]}/")
        load(desk, **{SETTING: json.dumps([nowhere, subscriber.setting()])})
    assert (
        sorted((one["state"], one["error"]) for one in listed(desk) if one["error"])
        == [("due", "no connection (ConnectError)")] * 2
    )
    assert len(subscriber.take()) == 2


def test_what_ended_long_ago_is_forgotten(office: Office, subscriber: Subscriber) -> None:
    subscriber.receiver.answers += [Answer(410)]
    office.run()
    assert Counter(one["state"] for one in office.queue()) == {"delivered": 4, "dead": 1}
    office.clock.advance(days=8)
    office.run()
    assert [one["state"] for one in office.queue()] == ["dead"]


def many(settings: Any, count: int) -> list[str]:
    """Deliveries that are due, and their ids."""
    clock = ManualClock()
    changes = tuple(Change(division, "accounts", 1, 0, 0, None, None) for division in range(count))
    observer = webhooks.WebhookQueue(settings, clock)
    observer(Loading(clock.now(), "books", "1.0", changes))
    with closing(Queue(settings.token_store, settings.connection)) as queue:
        queue.confirm(Loaded(clock.now(), "books", ("1.0",)))
        observer.close()
        return sorted(str(one["id"]) for one in queue.all())


def test_two_processes_that_deliver_at_once_send_each_message_once(
    exact: StrictExact, tmp_path: Path, subscriber: Subscriber, store_url: str
) -> None:
    told = {**subscriber.environment(), "SOURCES__EXACT_ONLINE__TOKEN_STORE": store_url}
    desk = Desk(exact, tmp_path)
    ids = many(load_settings("default", **{**desk.overrides, "token_store": store_url, "webhooks": [subscriber.setting()]}), 60)  # fmt: skip
    senders = [desk.start("webhooks", "deliver", "--json", **told) for _ in range(2)]
    answers = [json.loads(sender.communicate()[0]) for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0]
    assert sum(one["delivered"] for one in answers) == len(ids) == 60
    assert sorted(one["id"] for one in subscriber.take()) == ids
    assert Counter(states(desk, **told)) == {"delivered": 60}


def test_whose_lease_is_over_notes_nothing(office: Office) -> None:
    settings = load_settings("default", **office.told)
    [mark] = (one.mark for one in settings.webhooks)
    many(settings, 1)
    with closing(Queue(settings.token_store, "default")) as queue:
        slow = queue.lease(office.clock.now(), [mark])
        assert slow
        assert queue.lease(office.clock.now(), [mark]) is None
        office.clock.advance(minutes=2)
        quick = queue.lease(office.clock.now(), [mark])
        assert quick
        assert quick.id == slow.id
        assert queue.settle(quick, office.clock.now(), None) == "delivered"
        queue.settle(slow, office.clock.now(), "HTTP 503")
        assert [one["state"] for one in queue.all()] == ["delivered"]


def test_a_queue_that_cannot_be_written_fails_no_run(desk: Desk, subscriber: Subscriber) -> None:
    with closing(Queue(desk.overrides["token_store"], "other")) as queue:  # type: ignore[arg-type]
        assert queue.all() == []
    with closing(sqlite3.connect(desk.home / "tokens.db")) as store:
        store.execute("alter table exact_webhooks drop column body")
    told = load(desk, **subscriber.environment())
    assert "webhooks stopped" in told.output
    assert subscriber.take() == []
    assert desk.rows("select count(*) from exact_online.accounts") == [(5,)]


def plain(home: Path) -> dlt.Pipeline:
    place = dlt.destinations.duckdb(str(home / "plain.duckdb"))
    return dlt.pipeline("plain", destination=place, pipelines_dir=str(home / "plain"))


def test_a_load_in_another_format_than_parquet_is_told_as_a_warning(desk: Desk, subscriber: Subscriber) -> None:
    settings = load_settings("default", **{**desk.overrides, "webhooks": [subscriber.setting()]})
    pipeline = plain(desk.home)
    pipeline.extract([{"id": 1}], table_name="accounts", primary_key="id", loader_file_format="insert_values")
    pipeline.normalize()
    with closing(observed(ignore, settings, ManualClock())) as listener:
        Announcer(pipeline, ManualClock(), listener, {}).before()
        assert listener.warnings == [OTHER_FORMAT]


def test_what_cannot_be_found_out_is_a_warning(desk: Desk, subscriber: Subscriber) -> None:
    settings = load_settings("default", **{**desk.overrides, "webhooks": [subscriber.setting()]})
    pipeline = plain(desk.home)
    pipeline.run([{"id": 1}], table_name="accounts")
    (desk.home / "plain.duckdb").write_bytes(b"this is no database")
    clock = ManualClock()
    with closing(observed(ignore, settings, clock)) as listener:
        listener(Loading(clock.now(), pipeline.pipeline_name, "1.0", (Change(FIRST, "accounts", 1, 0, 0, None, None),)))
        Announcer(pipeline, clock, listener, {}).after()
        [warning] = listener.warnings
    assert "webhooks wait for the next run (DestinationConnectionError)" in warning


def run_and_die(environment: dict[str, str], target: Target, at: str) -> None:
    """A run that is killed when its listener hears of a stage or an event of this name, after its own load."""

    def listen(event: Event) -> None:
        name = event.stage if isinstance(event, StageReached) else type(event).__name__
        if name == at and (name != "Loaded" or "Loading" in heard):
            os.kill(os.getpid(), signal.SIGKILL)
        heard.append(name)

    heard: list[str] = []
    os.environ.update(environment)
    run(Order(entities=("accounts",), target=target), Surroundings(listener=listen))


def killed(desk: Desk, at: str, told: dict[str, str]) -> None:
    process = processes().Process(target=run_and_die, args=({**desk.environment, **told}, desk.place.target, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("at", ["load", "Loading", "Loaded"])
def test_a_run_killed_around_its_load_is_told_of_by_the_next_one(desk: Desk, subscriber: Subscriber, at: str) -> None:
    told = subscriber.environment()
    load(desk, **told)
    subscriber.take()
    desk.exact.upsert(ACCOUNTS, FIRST, {"ID": accounts(9)[-1]["ID"]})
    desk.exact.upsert(ACCOUNTS, SECOND, {"ID": accounts(1, SECOND)[0]["ID"], "Name": "Changed"})
    killed(desk, at, told)
    assert subscriber.take() == []
    load(desk, **told)
    assert subscriber.take_counts() == [(FIRST, "accounts", 1, 0, 0), (SECOND, "accounts", 0, 1, 0)]
    load(desk, **told)
    assert subscriber.take() == []


def test_what_was_loaded_before_a_kill_is_told_also_when_exact_refuses(desk: Desk, subscriber: Subscriber) -> None:
    killed(desk, "Loaded", subscriber.environment())
    desk.exact.revoke()
    assert desk.load("--entity", "accounts", **subscriber.environment()).exit_code == 3
    assert subscriber.take_counts() == [(FIRST, "accounts", 3, 0, 0), (SECOND, "accounts", 2, 0, 0)]


def test_a_killed_load_is_told_of_however_many_others_came_into_the_dataset_since(
    desk: Desk, subscriber: Subscriber
) -> None:
    killed(desk, "Loaded", subscriber.environment())
    with duckdb.connect(str(desk.database)) as books:  # as workers do that load other divisions
        books.execute(
            "INSERT INTO exact_online._dlt_loads SELECT 'other ' || number, schema_name, 0, now() + INTERVAL 1 MINUTE, "
            "schema_version_hash FROM exact_online._dlt_loads, range(50) AS others(number)"
        )
    load(desk, **subscriber.environment())
    assert subscriber.take_counts() == [(FIRST, "accounts", 3, 0, 0), (SECOND, "accounts", 2, 0, 0)]


class Subscribed(Desk):
    """A desk whose processes tell a subscriber."""

    told: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.told}


def test_wherever_a_load_is_killed_what_was_told_adds_up_to_what_is_there(
    tmp_path: Path, subscriber: Subscriber
) -> None:
    chance = Random(11)
    with books("webhooks") as kept:
        desk = Subscribed(kept.exact, tmp_path)
        object.__setattr__(desk, "told", subscriber.environment())
        desk.connect()
        commands = Commands(desk)
        try:
            mirror = Mirror(commands, "told")
            steps = finished(Mirror(commands, "measured").load()).events
            subscriber.take()
            for stage in ("load", "load", "between", "load"):
                mirror.load(limits=Limits(dies_in=stage, dies_at=chance.randrange(1, steps[stage])))
                kept.change()
            finished(mirror.load())
            told: Counter[tuple[str, int | None]] = Counter()
            for one in {one["id"]: one for one in subscriber.take()}.values():
                told[one["entity"], one["division"]] += one["added"] - one["deleted"]
            assert told == held(mirror.path)
        finally:
            commands.close()


def held(path: Path) -> Counter[tuple[str, int | None]]:
    """Rows by table and division."""
    found: Counter[tuple[str, int | None]] = Counter()
    with duckdb.connect(str(path), read_only=True) as database:
        for name in ENTITIES:
            column = "NULL" if name == "divisions" else "division"
            for division, count in database.execute(f"select {column}, count(*) from exact_online.{name} group by 1").fetchall():  # fmt: skip
                found[name, division] = count
    return found


HOSTS = """
127.0.0.1 127.1 2130706433 0x7f.0.0.1 0177.0.0.1 localhost 0.0.0.0 10.1.2.3 192.168.0.1 172.16.5.5 169.254.169.254
100.64.0.1 224.0.0.1 255.255.255.255 [::1] [::] [::ffff:10.0.0.1] [::ffff:127.0.0.1] [64:ff9b::a00:1] [64:ff9b::7f00:1]
[fe80::1] [fe80::1%25lo] [fc00::1] [fec0::1] [ff02::1] [::127.0.0.1] [2002:7f00:1::] [2001:db8::1]
""".split()


def test_nothing_is_sent_to_an_address_that_is_not_on_the_internet(desk: Desk) -> None:
    with socket.socket() as trap:
        trap.bind(("0.0.0.0", 0))
        trap.listen()
        trap.setblocking(False)
        port = trap.getsockname()[1]
        settings = [{"url": f"https://{host}:{port}/{at}", "secret": KEY} for at, host in enumerate(HOSTS)]
        load(desk, ("accounts",), "--division", str(FIRST), **{SETTING: json.dumps(settings)})
        with pytest.raises(BlockingIOError):
            trap.accept()
    told = {one["address"].rpartition(":")[0]: (one["state"], one["error"]) for one in listed(desk)}
    assert told.keys() == {*HOSTS}
    for host, (state, error) in told.items():
        assert state == "due", host
        assert "is not on the internet" in error or (host == "[fe80::1%25lo]" and "is not known" in error), (
            host,
            error,
        )


def test_the_certificate_must_be_that_of_the_name_and_signed_by_somebody_trusted(desk: Desk, tmp_path: Path) -> None:
    of_name, of_address = (certificate(tmp_path, host, 36_500) for host in ("localhost", "127.0.0.1"))
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(of_name.read_text() + of_address.read_text())
    with Served(of_name) as right, Served(of_address) as wrong:
        ports = [one.url.rpartition(":")[2] for one in (right, wrong)]
        settings = [{"url": f"https://localhost:{port}/", "secret": KEY, "allow_private": True} for port in ports]
        told = {SETTING: json.dumps(settings)}
        load(desk, ("accounts",), "--division", str(FIRST), **told)
        assert errors(desk, ports) == ["no connection (ConnectError)"] * 2
        desk.run("webhooks", "replay", *(one["id"] for one in listed(desk)))
        desk.run("webhooks", "deliver", **told, SSL_CERT_FILE=str(trusted))
        assert errors(desk, ports) == ["HTTP 501", "no connection (ConnectError)"]  # the server knows no POST


def errors(desk: Desk, ports: list[str]) -> list[str]:
    told = {one["address"].partition(" ")[0].rpartition(":")[2]: one["error"] for one in listed(desk)}
    return [told[port] for port in ports]
