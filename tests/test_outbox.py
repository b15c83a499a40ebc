"""Writes that happen once, against a strict Exact that loses answers after it has carried requests out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exact_source.clock import ManualClock
from exact_source.errors import BusinessRule, Conflict, DayQuotaSpent, Undecided
from exact_source.writes import Write
from strict_exact import Canned
from strict_writes import Late, Ruin
from writing import ACCOUNTS, CUSTOMER, DIVISION, HOURS, ORDERS, Shop, by_turns, order, shop

GENERIC = '{"error":{"code":"","message":{"lang":"","value":"A problem has occurred."}}}'
BROKEN = Canned(500, GENERIC)
DOWN = Canned(503, "<html>Exact Online is being maintained</html>")


@pytest.fixture
def at(tmp_path: Path, store_url: str) -> Iterator[Shop]:
    with shop(tmp_path, url=store_url) as opened:
        yield opened
    assert opened.exact.violations == []


def test_a_write_is_done_with_the_id_that_exact_gave(at: Shop) -> None:
    written = at.submit(order("A1"))
    (row,) = at.orders()
    assert (written.id, written.how, written.status) == (row["OrderID"], "sent", "done")
    assert written.row["YourRef"] == "A1"


def test_a_write_is_recorded_before_it_is_sent(at: Shop) -> None:
    seen: list[Any] = []
    at.exact.plot.of = by_turns(Ruin(lambda: seen.extend(at.stored()), answer=""))
    at.submit(order("A1", idempotency_key="first"))
    assert [row[:2] for row in seen] == [("first", "sent")]


def test_the_same_write_submitted_again_is_known_and_not_sent(at: Shop) -> None:
    first = at.submit(order("A1"))
    again = at.submit(order("A1"))
    assert (again.id, again.how) == (first.id, "known")
    assert len(at.exact.writes()) == 1


def test_a_key_of_its_own_makes_an_equal_write_another_one(at: Shop) -> None:
    at.submit(order("A1", idempotency_key="one"))
    at.submit(order("A1", idempotency_key="two"))
    assert len(at.orders()) == 2


def test_a_key_that_belongs_to_another_write_is_refused_before_anything_is_sent(at: Shop) -> None:
    at.submit(order("A1", idempotency_key="one"))
    with pytest.raises(Conflict, match="'one' belongs to another write"):
        at.submit(order("A2", idempotency_key="one"))
    assert len(at.exact.writes()) == 1


@pytest.mark.parametrize("ruin", ["drop", "truncate", Late(BROKEN), Late(DOWN), Late(Canned(502)), Late(Canned(408))])
def test_a_lost_answer_is_looked_up_and_the_row_found(at: Shop, ruin: Any) -> None:
    at.exact.plot.of = by_turns(ruin)
    written = at.submit(order("A1"))
    (row,) = at.orders()
    assert (written.id, written.how) == (row["OrderID"], "found")
    assert len(at.exact.writes()) == 1


@pytest.mark.parametrize("ruin", ["reset", BROKEN, DOWN, Canned(500), Canned(504)])
def test_what_was_not_carried_out_is_sent_again_once_exact_has_settled(at: Shop, ruin: Any) -> None:
    began = at.clock.now()
    at.exact.plot.of = by_turns(ruin)
    written = at.submit(order("A1"))
    assert written.how == "sent"
    assert len(at.orders()) == 1
    assert (at.clock.now() - began).total_seconds() >= 60


@pytest.mark.parametrize("ruin", [Canned(429), Canned(429, headers={"X-RateLimit-Minutely-Remaining": "0"})])
def test_what_the_quota_held_back_was_not_carried_out_and_is_sent_at_once(at: Shop, ruin: Any) -> None:
    at.exact.plot.of = by_turns(ruin)
    assert at.submit(order("A1")).how == "sent"
    assert len(at.exact.writes()) == 2
    assert [call for call in at.exact.requests if call.method == "GET" and call.resource == ORDERS] == []


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_off_makes_nothing_twice(tmp_path: Path, hours: int) -> None:
    """Nothing but the moment of its making tells this row from older ones."""
    ours = ManualClock(ManualClock().now() + timedelta(hours=hours))
    with shop(tmp_path, ours, now=lambda: ours.now() - timedelta(hours=hours)) as at:
        body = {"Employee": CUSTOMER, "Item": CUSTOMER, "Quantity": 2, "Hours": 2.5}
        at.exact.plot.of = by_turns("drop")
        assert at.submit(Write(HOURS, "POST", DIVISION, body=body)).how == "found"
        assert len(at.exact.rows(HOURS, DIVISION)) == 1


def test_a_row_that_shows_only_after_a_while_is_not_made_twice(at: Shop) -> None:
    """Exact is still at work on a request when it is looked up for the first time."""
    body = {**order("A1").body, "OrderID": "11111111-2222-3333-4444-555555555555"}  # type: ignore[dict-item]
    late = {name: value for name, value in body.items() if name != "SalesOrderLines"}
    at.exact.plot.of = by_turns("reset")
    local = at.exact._local()
    looks = [lambda: None, lambda: at.exact.upsert(ORDERS, DIVISION, {**late, "Created": local})]
    at.exact.before_call(2, ORDERS, looks[0])
    at.exact.before_call(3, ORDERS, looks[1])
    written = at.submit(order("A1"))
    assert (written.id, written.how) == (body["OrderID"], "found")
    assert len(at.orders()) == 1


def test_an_older_row_with_the_same_reference_is_not_taken_for_the_lost_one(at: Shop) -> None:
    at.submit(order("A1", idempotency_key="last year"))
    at.clock.advance(days=2)
    at.exact.plot.of = by_turns("reset")
    assert at.submit(order("A1", idempotency_key="now")).how == "sent"
    assert len(at.orders()) == 2


def test_the_row_of_an_equal_write_is_not_taken_for_the_lost_one(at: Shop) -> None:
    at.exact.plot.of = by_turns(None, "reset", "drop")
    ids = {at.submit(order("A1", idempotency_key=key)).id for key in ("one", "two", "three")}
    assert len(ids) == len(at.orders()) == 3


def test_a_refusal_comes_back_word_for_word_with_its_fields(at: Shop) -> None:
    at.exact.rule = lambda path, row: "Verplicht: Serie\r\nOngeldige referentie: Leveren aan"
    with pytest.raises(BusinessRule, match=r"Verplicht: Serie \| Ongeldige referentie: Leveren aan") as refused:
        at.submit(order("A1", idempotency_key="one"))
    assert refused.value.told == "Verplicht: Serie\r\nOngeldige referentie: Leveren aan"
    assert refused.value.fields == ("Serie", "Leveren aan")
    assert at.state("one") == "refused"


def test_a_refused_write_may_be_submitted_again_once_the_books_allow_it(at: Shop) -> None:
    at.exact.rule = lambda path, row: "Ongeldig: Periode"
    with pytest.raises(BusinessRule):
        at.submit(order("A1"))
    at.exact.rule = lambda path, row: None
    assert at.submit(order("A1")).how == "sent"
    assert len(at.orders()) == 1


def test_a_spent_day_leaves_the_write_recorded_and_unsent(tmp_path: Path) -> None:
    with shop(tmp_path, day_limit=2) as at:  # one of them goes to the list of divisions
        at.submit(order("A0"))
        with pytest.raises(DayQuotaSpent):
            at.submit(order("A1", idempotency_key="one"))
        assert at.stored()[1][:2] == ("one", "recorded")
        at.clock.advance(days=1)
        assert at.submit(order("A1", idempotency_key="one")).how == "sent"


def test_what_nothing_tells_from_others_is_left_to_a_person(at: Shop) -> None:
    write = Write(HOURS, "POST", DIVISION, body={"Quantity": 1}, idempotency_key="hours")
    at.exact.upsert(HOURS, DIVISION, {"ID": CUSTOMER, "Quantity": 1.0, "Created": at.exact._local()})
    at.exact.plot.of = by_turns("reset")
    with pytest.raises(Undecided, match="1 rows of TimeTransactions could be it"):
        at.submit(write)
    assert at.state("hours") == "unknown"
    assert len(at.exact.writes()) == 1
    with at.desk() as desk:
        desk.outbox.claims.resolve("hours", CUSTOMER, at.clock.now())
    assert at.submit(write).id == CUSTOMER
    assert len(at.exact.writes()) == 1


def test_a_person_who_found_nothing_has_it_sent_again(at: Shop) -> None:
    write = Write(HOURS, "POST", DIVISION, body={"Quantity": 1}, idempotency_key="hours")
    at.exact.upsert(HOURS, DIVISION, {"ID": CUSTOMER, "Quantity": 1.0, "Created": at.exact._local()})
    at.exact.plot.of = by_turns("reset")
    with pytest.raises(Undecided):
        at.submit(write)
    with at.desk() as desk:
        assert desk.outbox.resume("hours", is_absent=True).how == "sent"
    assert len(at.exact.rows(HOURS, DIVISION)) == 2


def test_an_update_whose_answer_was_lost_is_sent_again(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = by_turns("drop")
    at.submit(Write(ORDERS, "PUT", DIVISION, key=key, body={"Description": "new"}))
    assert [row["Description"] for row in at.orders()] == ["new"]


def test_a_deletion_whose_answer_was_lost_is_done_when_the_row_is_gone(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = by_turns("drop")
    assert at.submit(Write(ORDERS, "DELETE", DIVISION, key=key)).how == "found"
    assert at.orders() == []


def test_bodies_lie_encrypted_in_the_store(tmp_path: Path) -> None:
    body = {"Name": "Koffiehuis De Zwaan", "Email": "zwaan@example.test"}
    with shop(tmp_path) as at:
        at.submit(Write(ACCOUNTS, "POST", DIVISION, body=body))
    raw = b"".join(path.read_bytes() for path in at.user.home.glob("tokens.db*"))
    assert b"exact_outbox" in raw
    assert [name for name in (b"Zwaan", b"zwaan@example") if name in raw] == []


def test_bodies_are_forgotten_a_month_after_their_write_and_its_key_is_not(at: Shop) -> None:
    at.submit(order("A1", idempotency_key="one"))
    at.clock.advance(days=29)
    at.submit(order("A2", idempotency_key="two"))
    at.clock.advance(days=2)
    at.connect()
    at.submit(order("A3", idempotency_key="three"))
    assert [(key, content is None) for key, _, content in at.stored()] == [
        ("one", True),
        ("two", False),
        ("three", False),
    ]
    assert at.submit(order("A1", idempotency_key="one")).how == "known"
    assert len(at.orders()) == 3
