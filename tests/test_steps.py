"""Writes in several steps go on where they stopped, or take back what they made."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exact_source.errors import BusinessRule, Rejected, Undecided
from exact_source.outbox import Written
from exact_source.steps import Plan, carry_out, resume
from exact_source.writes import Made, Write
from strict_exact import Canned
from writing import ATTACHMENTS, DIVISION, DOCUMENTS, ORDERS, Shop, by_turns, order, shop

CONTENT = base64.b64encode(b"%PDF-1.4 a scanned order").decode()


@pytest.fixture
def at(tmp_path: Path, store_url: str) -> Iterator[Shop]:
    with shop(tmp_path, url=store_url) as opened:
        yield opened
    assert opened.exact.violations == []


def attached(key: str, document: str | None = None) -> Plan:
    """A document, its attachment, and the order that links to it."""
    link = Write(ORDERS, "PUT", DIVISION, key=document, body={"Document": Made("document")})
    return Plan(
        key,
        {
            "document": Write(DOCUMENTS, "POST", DIVISION, body={"Subject": "Scan A1", "Type": 55}),
            "attachment": Write(
                ATTACHMENTS,
                "POST",
                DIVISION,
                body={"Document": Made("document"), "FileName": "a1.pdf", "Attachment": CONTENT},
            ),
            "link": link,
        },
    )


def carried_out(at: Shop, plan: Plan, **options: Any) -> dict[str, Written]:
    with at.desk() as desk:
        return carry_out(desk.outbox, plan, **options)


def counts(at: Shop) -> tuple[int, int]:
    return len(at.exact.rows(DOCUMENTS, DIVISION)), len(at.exact.rows(ATTACHMENTS, DIVISION))


def linked(at: Shop) -> list[Any]:
    return [row["Document"] for row in at.orders()]


def test_a_later_step_names_the_row_that_an_earlier_one_made(at: Shop) -> None:
    made = carried_out(at, attached("scan", str(at.submit(order("A1")).id)))
    assert linked(at) == [made["document"].id]
    assert [row["Document"] for row in at.exact.rows(ATTACHMENTS, DIVISION)] == [made["document"].id]


@pytest.mark.parametrize("ruins", [("drop",), (None, "drop"), (None, None, "drop"), ("drop", "drop", "drop")])
def test_every_step_may_lose_its_answer(at: Shop, ruins: tuple[Any, ...]) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = by_turns(*ruins)
    made = carried_out(at, attached("scan", key))
    assert counts(at) == (1, 1)
    assert linked(at) == [made["document"].id]


def test_an_attachment_is_found_by_document_name_and_size(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = by_turns(None, "drop")
    assert carried_out(at, attached("scan", key))["attachment"].how == "found"


def test_a_plan_that_stopped_goes_on_with_what_is_left(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = lambda call: Canned(503) if call.resource.endswith("Attachments") else None
    with pytest.raises(Undecided):
        carried_out(at, attached("scan", key))
    at.exact.plot.of = lambda call: None
    made = carried_out(at, attached("scan", key))
    assert [one.how for one in made.values()] == ["known", "sent", "sent"]
    assert counts(at) == (1, 1)


def test_a_plan_goes_on_from_what_was_recorded_alone(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.plot.of = lambda call: Canned(503) if call.resource.endswith("Attachments") else None
    with pytest.raises(Undecided):
        carried_out(at, attached("scan", key))
    at.exact.plot.of = lambda call: None
    with at.desk() as desk:
        done = resume(desk.outbox, "scan")
    assert linked(at) == [done[0].id]
    assert counts(at) == (1, 1)


def test_a_refused_step_takes_back_what_was_made_before_it(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.rule = lambda path, row: "Ongeldig: Bestandstype" if path == ATTACHMENTS else None
    with pytest.raises(BusinessRule, match="Ongeldig: Bestandstype"):
        carried_out(at, attached("scan", key))
    assert counts(at) == (0, 0)
    assert at.state("scan/document") == "undone"
    at.exact.rule = lambda path, row: None
    carried_out(at, attached("scan", key))
    assert counts(at) == (1, 1)


def test_what_was_made_stays_when_the_caller_wants_to_go_on_later(at: Shop) -> None:
    key = str(at.submit(order("A1")).id)
    at.exact.rule = lambda path, row: "Ongeldig: Bestandstype" if path == ATTACHMENTS else None
    with pytest.raises(BusinessRule):
        carried_out(at, attached("scan", key), is_undone=False)
    assert counts(at) == (1, 0)


def test_what_cannot_be_taken_back_is_told(at: Shop) -> None:
    rules = {ATTACHMENTS: "Ongeldig: Bestandstype", f"DELETE {DOCUMENTS}": "Kan niet verwijderen"}
    at.exact.rule = lambda path, row: rules.get(path)
    with pytest.raises(Rejected, match="Bestandstype; what was made before it is still in Exact: documents/Documents"):
        carried_out(at, attached("scan", str(at.submit(order("A1")).id)))
    assert counts(at) == (1, 0)
