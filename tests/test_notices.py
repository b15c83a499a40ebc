"""Notices of Exact at the door: what is believed, what is refused, and what is kept of them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from exact_notices import SECRET, content, receiving, seal, sealed
from exact_source.clock import ManualClock
from exact_source.notices import MOST, NOTICES, Held, Notices, metadata, take
from exact_source.settings import Settings
from exact_source.store import Store

CLOCK = ManualClock()


def stored(settings: Settings) -> list[Held]:
    with closing(Notices(settings.token_store)) as notices:
        return notices.waiting()


def test_the_empty_body_by_which_exact_validates_an_address_is_welcome_and_stores_nothing(tmp_path: Path) -> None:
    assert take(b"", receiving(tmp_path), CLOCK) == 200
    assert take(b"", receiving(tmp_path, webhook_secret=None), CLOCK) == 200
    assert stored(receiving(tmp_path)) == []


def test_a_signed_notice_is_stored_before_it_is_answered(store_url: str, tmp_path: Path) -> None:
    settings = receiving(tmp_path, token_store=store_url)
    assert take(sealed(content()), settings, CLOCK) == 200
    [one] = stored(settings)
    assert (one.division, one.topic, one.action, one.arrivals) == (124132, "Accounts", "Update", 1)
    assert (one.key, one.received_at) == ("8a3f0e5c-0b1d-4f55-9c55-3f4a1f3b2d10", CLOCK.now())


def test_the_signature_is_the_one_that_openssl_makes_of_the_bytes(tmp_path: Path) -> None:
    # printf '%s' '{"Topic":…}' | openssl dgst -sha256 -hmac 'hush-hush'
    text = '{"Topic":"Items","Division":7,"Action":"Delete","Key":"x"}'
    known = "F845B58B972BFA3503500D3B7D698A51F142D001B014D7CF7B68EEF43DCD0CB7"
    settings = receiving(tmp_path, webhook_secret="hush-hush")
    body = f'{{"Content":{text},"HashCode":"{known}"}}'.encode()
    assert take(body, settings, CLOCK) == 200
    assert take(body.replace(b'"x"', b'"y"'), settings, CLOCK) == 401
    assert take(body.replace(b'"Items",', b'"Items", '), settings, CLOCK) == 401
    assert [(one.topic, one.key) for one in stored(settings)] == [("Items", "x")]


@pytest.mark.parametrize(
    "text",
    [
        content(Action="Create"),
        content(Action="Delete"),
        content(EventCreatedOn=None),
        content(topic="NeverHeardOf"),
        content(Key=12),
        content(Note='Caf\u00e9 \\" } ,"HashCode":"x'),
        '{"Key":"k","Division":1,"Topic":"Items","Action":"Update"}',
        '{ "Action" : "Update",\n"Topic":"Items", "Division":1,"Key":"k"}',
    ],
)
def test_a_content_is_taken_whatever_the_order_of_its_members_and_whatever_it_leaves_out(
    text: str, tmp_path: Path
) -> None:
    settings = receiving(tmp_path)
    assert take(sealed(text), settings, CLOCK) == 200
    assert len(stored(settings)) == 1


@pytest.mark.parametrize("hash_code", ["", "0" * 64, seal(content(), "another secret"), seal(content())[:-1], "é"])
def test_a_wrong_signature_is_refused(hash_code: str, tmp_path: Path) -> None:
    settings = receiving(tmp_path)
    assert take(f'{{"Content":{content()},"HashCode":"{hash_code}"}}'.encode(), settings, CLOCK) == 401
    assert stored(settings) == []


def forgeries() -> list[bytes]:
    """Bodies around a Content that is well signed, made to be read differently than it was signed."""
    true, other, mark = content(), content(division=666), seal(content())
    return [
        f'{{"Content":{other},"HashCode":"x","Content":{true},"HashCode":"{mark}"}}'.encode(),
        f'{{"Content":{true},"HashCode":"{mark}","HashCode":"{mark}"}}'.encode(),
        f'{{"Content":{true},"HashCode":"x","HashCode":"{mark}"}}'.encode(),
        f'{{"Content":{true},"HashCode":"{mark}"}}{{}}'.encode(),
        f'{{"Content":{true},"HashCode":"{mark}"}}\0'.encode(),
        f'{{"Content":{true},"HashCode":"{mark}","Division":666}}'.encode(),
        f'[{{"Content":{true},"HashCode":"{mark}"}}]'.encode(),
    ]


@pytest.mark.parametrize("body", forgeries())
def test_what_can_be_read_in_two_ways_is_no_notice(body: bytes, tmp_path: Path) -> None:
    settings = receiving(tmp_path)
    assert take(body, settings, CLOCK) == 400
    assert stored(settings) == []


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"hello",
        b"\xff\xfe",
        b"{}",
        b"null",
        b'{"Content":{}}',
        b'{"Content":"x","HashCode":"y"}',
        b'{"Content":{},"HashCode":7}',
        b'{"Content":' + b"[" * 30_000,
        b'{"Content":{"Division":' + b"9" * 5_000 + b'},"HashCode":"x"}',
        b'{"Content":{"a":"' + b"x" * 70_000 + b'"},"HashCode":"x"}',
        *(sealed(content(**one)) for one in ({"Division": "1"}, {"Division": True}, {"Division": 2**31})),
        *(sealed(content(**one)) for one in ({"Topic": None}, {"Topic": "x" * 201}, {"Key": None}, {"Key": "\ud800"})),
        sealed('{"Topic":"Items","Topic":"Accounts","Division":1,"Action":"Update","Key":"k"}'),
    ],
)
def test_what_is_no_document_of_exact_is_refused(body: bytes, tmp_path: Path) -> None:
    settings = receiving(tmp_path)
    assert take(body, settings, CLOCK) == 400
    assert stored(settings) == []


def test_of_several_apps_or_while_a_secret_is_replaced_each_secret_will_do(tmp_path: Path) -> None:
    settings = receiving(tmp_path, webhook_secret=["first, with a comma", SECRET])
    for number, secret in enumerate(["first, with a comma", SECRET]):
        assert take(sealed(content(Key=str(number)), secret), settings, CLOCK) == 200
    assert take(sealed(content(), "third"), settings, CLOCK) == 401
    assert len(stored(settings)) == 2


def test_without_a_secret_or_a_store_exact_is_asked_to_try_again(tmp_path: Path) -> None:
    assert take(sealed(content()), receiving(tmp_path, webhook_secret=None), CLOCK) == 503
    broken = receiving(tmp_path, token_store=f"sqlite:///{tmp_path}")
    assert take(sealed(content()), broken, CLOCK) == 503
    away = receiving(tmp_path, token_store="postgresql+psycopg2://me@127.0.0.1:1/tokens")
    assert take(sealed(content()), away, CLOCK) == 503


def test_a_notice_that_comes_again_is_stored_once(store_url: str, tmp_path: Path) -> None:
    settings = receiving(tmp_path, token_store=store_url)
    texts = [content(), content(EventCreatedOn=None), content(Action="Delete"), content(Key="other")]
    for text in [*texts, *texts, content(EventCreatedOn="2026-06-18T09:12:34")]:
        assert take(sealed(text), settings, CLOCK) == 200
    assert sorted(one.arrivals for one in stored(settings)) == [1, 2, 2, 2, 2]


def test_what_nobody_reads_for_a_month_goes(tmp_path: Path) -> None:
    settings, clock = receiving(tmp_path), ManualClock()
    take(sealed(content(Key="old")), settings, clock)
    clock.sleep(timedelta(days=29).total_seconds())
    take(sealed(content(Key="young")), settings, clock)
    clock.sleep(timedelta(days=2).total_seconds())
    take(sealed(content(Key="new")), settings, clock)
    assert [one.key for one in stored(settings)] == ["young", "new"]


def test_more_than_can_be_kept_is_counted_with_what_waits_of_the_same_division_and_topic(tmp_path: Path) -> None:
    settings = receiving(tmp_path)
    take(sealed(content()), settings, CLOCK)
    [one] = stored(settings)
    row = {**asdict(one), "event": "", "received_at": CLOCK.now().isoformat(timespec="microseconds"), "read_by": "[]"}
    with closing(Store(settings.token_store, metadata)) as store, store.transaction(is_write=True) as session:
        session.execute(NOTICES.insert(), [{**row, "id": f"{number:032}"} for number in range(MOST - 1)])
    assert take(sealed(content(Key="one too many")), settings, CLOCK) == 200
    assert take(sealed(content(topic="Items")), settings, CLOCK) == 200
    kept = stored(settings)
    assert (len(kept), sum(one.arrivals for one in kept)) == (MOST + 1, MOST + 2)
    assert {one.topic for one in kept} == {"Accounts", "Items"}


def test_a_notice_goes_when_the_last_of_its_connections_has_read_it_as_it_saw_it(
    store_url: str, tmp_path: Path
) -> None:
    settings = receiving(tmp_path, token_store=store_url)
    take(sealed(content()), settings, CLOCK)
    with closing(Notices(settings.token_store)) as notices:
        [seen] = notices.waiting()
        notices.settle("one", [seen], {"one", "two"})
        assert [one.read_by for one in notices.waiting()] == [{"one"}]
        take(sealed(content()), settings, CLOCK)
        notices.settle("two", [seen], {"one", "two"})
        [again] = notices.waiting()
        assert (again.read_by, again.arrivals) == (frozenset(), 2)
        for name in ("two", "one"):
            notices.settle(name, [again], {"one", "two"})
        assert notices.waiting() == []
