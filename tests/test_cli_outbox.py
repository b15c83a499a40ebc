"""``exact-source outbox``: what is kept of writes, and what a person decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import read_json
from exact_source.errors import BusinessRule, Undecided
from exact_source.writes import Write
from writing import ACCOUNTS, CUSTOMER, DIVISION, HOURS, HurriedClock, Shop, by_turns, order, shop


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Shop]:
    """One write that is done, one refused, and one in doubt that nothing tells from a row that was there."""
    with shop(tmp_path, HurriedClock(), refresh_after=0) as opened:
        opened.submit(order("A1", idempotency_key="done"))
        opened.exact.rule = lambda path, row: "Verplicht: E-mail" if path == ACCOUNTS else None
        with pytest.raises(BusinessRule):
            body = {"Name": "Zwaan"}
            opened.submit(Write(ACCOUNTS, "POST", DIVISION, body=body, idempotency_key="refused"))
        opened.exact.upsert(HOURS, DIVISION, {"ID": CUSTOMER, "Quantity": 1.0, "Created": opened.exact._local()})
        opened.exact.plot.of = by_turns("reset")
        with pytest.raises(Undecided):
            opened.submit(Write(HOURS, "POST", DIVISION, body={"Quantity": 1}, idempotency_key="doubt"))
        yield opened


def test_the_writes_are_listed_with_their_states_and_exacts_words(at: Shop) -> None:
    listed = {one["key"]: one for one in read_json(at.user.run("outbox", "--json"))}
    assert {key: one["state"] for key, one in listed.items()} == {
        "done": "done",
        "refused": "refused",
        "doubt": "unknown",
    }
    assert listed["done"]["id"] == at.orders()[0]["OrderID"]
    assert (listed["refused"]["error"], listed["refused"]["fields"]) == ("Verplicht: E-mail", ["E-mail"])
    assert listed["doubt"]["size"] == len('{"Quantity":1}')
    assert [one["key"] for one in read_json(at.user.run("outbox", "--state", "unknown", "--json"))] == ["doubt"]
    told = at.user.run("outbox")
    assert "doubt" in told.stdout
    assert "1 done, 1 refused, 1 unknown" in told.stderr


def test_one_write_is_shown_with_its_body(at: Shop) -> None:
    shown = read_json(at.user.run("outbox", "show", "refused", "--json"))
    assert shown["body"] == {"Name": "Zwaan"}
    assert shown["message"].endswith("Verplicht: E-mail")
    assert at.user.run("outbox", "show", "nobody").exit_code == 2


def test_a_person_says_under_which_id_a_write_is_in_exact(at: Shop) -> None:
    assert at.user.run("outbox", "resolve", "doubt", "--id", CUSTOMER).exit_code == 0
    assert at.state("doubt") == "done"
    assert at.user.run("outbox", "resolve", "done", "--id", CUSTOMER).exit_code == 2


def test_a_retry_looks_before_it_sends_and_a_person_may_have_looked(at: Shop) -> None:
    told = at.user.run("outbox", "retry", "doubt", "--json")
    assert told.exit_code == 4
    assert "could be it" in read_json(told)["error"]
    sent = read_json(at.user.run("outbox", "retry", "doubt", "--absent", "--json"))
    assert [one["how"] for one in sent] == ["sent"]
    assert len(at.exact.rows(HOURS, DIVISION)) == 2


def test_a_refused_write_is_retried_once_the_books_allow_it(at: Shop) -> None:
    at.exact.rule = lambda path, row: None
    assert at.user.run("outbox", "retry", "refused").exit_code == 0
    assert [row["Name"] for row in at.exact.rows(ACCOUNTS, DIVISION)] == ["Zwaan"]


def test_a_dropped_write_is_forgotten_and_one_that_is_done_is_not(at: Shop) -> None:
    assert at.user.run("outbox", "drop", "refused").exit_code == 0
    assert at.user.run("outbox", "drop", "done").exit_code == 2
    assert sorted(one["key"] for one in json.loads(at.user.run("outbox", "--json").stdout)) == ["done", "doubt"]
