"""The outbox against the sandbox, whose books have rules of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exact_source.errors import BusinessRule
from exact_source.opening import Desk, Surroundings, desk
from exact_source.sandbox.faults import Fault
from exact_source.steps import Plan, carry_out
from exact_source.writes import Made, Write
from sandbox_clerk import D
from sandbox_road import Road


@pytest.fixture
def road(tmp_path: Path) -> Road:
    return Road(tmp_path, "small")


@contextmanager
def at(road: Road) -> Iterator[Desk]:
    with desk("default", Surroundings(road.clock, road.sandbox.transport(), overrides=road.overrides)) as opened:
        yield opened


def rows(road: Road, path: str) -> int:
    return int(road.sandbox.records.count(D, path))


TAKE_EFFECT = (Fault.LOST_ANSWER, Fault.FAILED_ANSWER)
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "account": ("crm/Accounts", {"Name": "Nieuw B.V.", "Email": "nieuw@example.test", "Status": "C"}),
    "account with a code": ("crm/Accounts", {"Name": "Nieuw B.V.", "Code": "4711"}),
    "item": ("logistics/Items", {"Code": "NIEUW-1", "Description": "Nieuw"}),
    "document": ("documents/Documents", {"Subject": "Scan", "Type": 55}),
    "project": ("project/Projects", {"Code": "P1", "Description": "Project", "Type": 2}),
}


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.FAILED_ANSWER, Fault.RESET, Fault.SERVER_ERROR])
def test_a_write_that_loses_its_answer_is_there_once(road: Road, fault: Fault) -> None:
    with at(road) as opened:
        for name, (path, body) in WRITES.items():
            before = rows(road, path)
            road.sandbox.fail_next(1, fault, path=path)
            written = opened.submit(Write(path, "POST", D, body=body))
            assert (name, written.how) == (name, "found" if fault in TAKE_EFFECT else "sent")
            assert (name, rows(road, path)) == (name, before + 1)


def test_an_attachment_is_there_once_and_with_its_document(road: Road) -> None:
    before = rows(road, "documents/Documents"), rows(road, "documents/DocumentAttachments")
    body = {"Document": Made("document"), "FileName": "a.txt", "Attachment": b"hello"}
    plan = Plan(
        "scan",
        {
            "document": Write("documents/Documents", "POST", D, body={"Subject": "Scan", "Type": 55}),
            "attachment": Write("documents/DocumentAttachments", "POST", D, body=body),
        },
    )
    with at(road) as opened:
        road.sandbox.fail_next(1, Fault.LOST_ANSWER, path="documents/DocumentAttachments")
        made = carry_out(opened.outbox, plan)
    assert made["attachment"].how == "found"
    after = rows(road, "documents/Documents"), rows(road, "documents/DocumentAttachments")
    assert after == (before[0] + 1, before[1] + 1)


def test_the_words_of_the_books_come_back(road: Road) -> None:
    with at(road) as opened, pytest.raises(BusinessRule, match="Mandatory: ") as refused:
        opened.submit(Write("crm/Accounts", "POST", D, body={"Status": "C"}))
    assert refused.value.fields == ("Name",)
