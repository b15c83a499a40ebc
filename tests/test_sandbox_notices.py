"""The sandbox's webhooks: validation of an address, what is posted of each change, and how often it is tried again."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from exact_notices import Posted, listening
from sandbox_clerk import Clerk, at_work

SUBSCRIPTIONS = "webhooks/WebhookSubscriptions"


@pytest.fixture
def posted() -> Iterator[Posted]:
    with listening(lambda _body: 200) as found:
        yield found


@pytest.fixture
def told(inside: Clerk, posted: Posted) -> Clerk:
    """Who writes, with the address subscribed to invoices and accounts."""
    for topic in ("SalesInvoices", "Accounts"):
        inside.post(SUBSCRIPTIONS, {"Topic": topic, "CallbackURL": posted.url})
    posted.bodies.clear()
    return inside


def test_a_subscription_is_made_once_an_empty_post_was_answered(inside: Clerk, posted: Posted) -> None:
    made = inside.post(SUBSCRIPTIONS, {"Topic": "Items", "CallbackURL": posted.url})
    assert posted.bodies == [b""]
    again = {"Topic": "Items", "CallbackURL": posted.url + "/other"}
    assert inside.refused("POST", SUBSCRIPTIONS, again) == (500, "Data already exists")
    assert posted.bodies == [b""]
    inside.delete(SUBSCRIPTIONS, made["ID"])
    inside.post(SUBSCRIPTIONS, again)


@pytest.mark.parametrize("status", [404, 503])
def test_an_address_that_answers_otherwise_is_refused_in_exacts_words(inside: Clerk, status: int) -> None:
    with listening(lambda _body: status) as posted:
        told = inside.refused("POST", SUBSCRIPTIONS, {"Topic": "Items", "CallbackURL": posted.url})
    assert told == (500, f"Invalid: Post to callback URL endpoint returns {status}")
    assert inside.rows(SUBSCRIPTIONS + "?$select=Topic") == []


def test_each_write_is_posted_in_compact_json_with_its_signature(told: Clerk, posted: Posted) -> None:
    key = told.make("crm/Accounts", {"Name": "Café"})
    told.put("crm/Accounts", key, {"Name": "Bar"})
    told.delete("crm/Accounts", key)
    told.make("logistics/Items", {"Code": "Q-1", "Description": "nobody subscribed to it"})
    assert [(one["Action"], one["Topic"], one["Key"], one["Division"]) for one in posted.contents] == [
        (action, "Accounts", key, told.division) for action in ("Create", "Update", "Delete")
    ]
    first = posted.contents[0]
    assert list(first) == "Topic ClientId Division Action Key ExactOnlineEndpoint EventCreatedOn".split()
    assert first["ExactOnlineEndpoint"].endswith(f"/api/v1/{told.division}/crm/Accounts(guid'{key}')")
    assert b" " not in posted.bodies[0]


def test_a_line_that_changes_is_told_as_its_header(told: Clerk, posted: Posted) -> None:
    invoice = told.invoice(told.customer())
    assert [(one["Action"], one["Key"]) for one in posted.contents if one["Topic"] == "SalesInvoices"] == [
        ("Create", invoice)
    ]
    posted.bodies.clear()
    [line, *_] = told.lines("salesinvoice/SalesInvoiceLines", "InvoiceID", invoice)
    told.put("salesinvoice/SalesInvoiceLines", line["ID"], {"Quantity": 7})
    assert [(one["Topic"], one["Action"], one["Key"]) for one in posted.contents] == [
        ("SalesInvoices", "Update", invoice)
    ]
    told.delete("salesinvoice/SalesInvoiceLines", line["ID"])
    assert [(one["Action"], one["Key"]) for one in posted.contents[1:]] == [("Update", invoice)]


def test_a_write_that_is_refused_is_not_told(told: Clerk, posted: Posted) -> None:
    told.refused("POST", "salesinvoice/SalesInvoices", {"Journal": "70"})
    assert posted.bodies == []


def test_what_is_not_taken_is_posted_again_after_two_to_the_n_minutes_ten_times(inside: Clerk) -> None:
    with listening(lambda body: 503 if body else 200) as posted:
        inside.post(SUBSCRIPTIONS, {"Topic": "Accounts", "CallbackURL": posted.url})
        posted.bodies.clear()
        inside.make("crm/Accounts", {"Name": "Never heard"})
        for nth in range(1, 12):
            inside.sandbox.advance(minutes=2**nth - 1)
            assert len(posted.bodies) == min(nth, 11)
            inside.sandbox.advance(minutes=1)
        assert len(posted.bodies) == 11
        assert len(set(posted.bodies)) == 1


def test_the_control_door_fires_a_notice_and_deletes_with_one(posted: Posted) -> None:
    with at_work("socket") as clerk:
        clerk.post(SUBSCRIPTIONS, {"Topic": "Accounts", "CallbackURL": posted.url})
        key = clerk.make("crm/Accounts", {"Name": "Gone"})
        posted.bodies.clear()
        orders = {
            "notify": {"division": clerk.division, "topic": "Accounts", "key": "k", "action": "Create"},
            "delete": {"division": clerk.division, "entity": "accounts", "key": key},
        }
        for order, body in orders.items():
            url = str(clerk.visitor.http.base_url.join(f"/_sandbox/{order}"))
            assert httpx.post(url, json=body, trust_env=False).status_code == 200
        assert [(one["Action"], one["Key"]) for one in posted.contents] == [("Create", "k"), ("Delete", key)]
        nobody = {"division": clerk.division, "topic": "Items", "key": "k"}
        url = str(clerk.visitor.http.base_url.join("/_sandbox/notify"))
        assert httpx.post(url, json=nobody, trust_env=False).status_code == 400
