"""Drift: what Exact's $metadata says of the members, against the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import Desk, read_json
from exact_source import catalogue, drift
from exact_source.catalogue import Endpoint, endpoint
from exact_source.clock import SystemClock
from exact_source.errors import Unreadable
from exact_source.sandbox import Sandbox
from strict_exact import Canned, Division, StrictExact

ACCOUNTS = endpoint("crm/Accounts")


def csdl(members: dict[str, list[str]], before: str = "") -> str:
    """A description in another dress than the sandbox's: prefixes, a base type, line breaks."""
    types = "".join(
        f'<e:EntityType Name="{name}Type" BaseType="X.Y.{name}Base"><e:Key><e:PropertyRef Name="ID"/></e:Key>\n'
        + "".join(f'<e:Property Name="{one}" Type="Edm.String"/>' for one in listed[1:])
        + f'</e:EntityType><e:EntityType Name="{name}Base"><e:Property Name="{listed[0]}" Type="Edm.Guid"/></e:EntityType>'
        for name, listed in members.items()
    )
    sets = "".join(f'<e:EntitySet Name="{name}" EntityType="X.Y.{name}Type"/>' for name in members)
    return f'<?xml version="1.0" encoding="utf-8"?>{before}<x:Edmx xmlns:x="urn:a" xmlns:e="urn:b">{types}<e:EntityContainer>{sets}</e:EntityContainer></x:Edmx>'


def members(end: Endpoint) -> list[str]:
    return [member.name for member in end.fields]


def test_an_endpoint_that_is_as_the_catalogue_says_has_not_drifted() -> None:
    found = drift.compare(ACCOUNTS, drift.read_metadata(csdl({"Accounts": members(ACCOUNTS)}).encode()))
    assert (found.is_drifted, found.problem) == (False, None)


def test_members_that_appeared_and_vanished_are_named() -> None:
    text = csdl({"Accounts": [*members(ACCOUNTS)[2:], "Zeta", "Alpha", "BankAccounts"]})
    found = drift.compare(ACCOUNTS, drift.read_metadata(b"\xef\xbb\xbf" + text.encode()))
    assert found.appeared == ("Alpha", "Zeta")
    assert found.vanished == tuple(sorted(members(ACCOUNTS)[:2]))


def test_characters_that_xml_does_not_know_are_passed_over() -> None:
    text = csdl({"Accounts": members(ACCOUNTS)}).replace("<e:EntityContainer>", "<e:EntityContainer>\x00\x0b")
    assert not drift.compare(ACCOUNTS, drift.read_metadata(text.encode())).is_drifted


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE x>",
    ],
)
def test_a_document_type_is_refused_before_anything_is_expanded(before: str) -> None:
    with pytest.raises(Unreadable, match="document type"):
        drift.read_metadata(csdl({"Accounts": ["ID"]}, before).encode())


@given(st.binary(max_size=60) | st.text("<>/:= \"'EntitySetypProperty&;", max_size=60).map(str.encode))
def test_no_garbage_escapes_as_another_error(body: bytes) -> None:
    with pytest.raises(Unreadable):
        drift.read_metadata(body)


@dataclass(frozen=True)
class Served:
    """A sandbox on a port, as a Desk wants its Exact."""

    sandbox: Sandbox
    base_url: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)


def test_no_service_of_the_sandbox_has_drifted_and_each_is_asked_once(tmp_path: Path) -> None:
    sandbox = Sandbox(SystemClock(), scale="bare")
    with sandbox.serve() as address:
        desk = Desk(Served(sandbox, address.url), tmp_path)  # type: ignore[arg-type]
        desk.connect()
        told = desk.run("entities", "--drift", "--all", "--json")
        asked = [call.path for call in sandbox.requests if "$metadata" in call.path]
    found = read_json(told)
    assert (told.exit_code, [one for one in found if one["appeared"] or one["vanished"] or one["problem"]]) == (0, [])
    assert len(found) > 150
    assert len(asked) == len(set(asked)) < 60


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with StrictExact([], [Division(1), Division(2)]) as exact:
        desk = Desk(exact, tmp_path)
        desk.connect()
        yield desk


def as_catalogued() -> dict[str, dict[str, list[str]]]:
    """Every service of the default set, with the resources in use, as the catalogue has them."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in (feed.endpoint for entity in catalogue.entities() if entity.is_default for feed in entity.feeds):
        if one.kind == "single" and one.is_per_division:
            found.setdefault(one.path.split("/")[1], {})[one.resource] = members(one)
    return found


def answer(desk: Desk, described: dict[str, dict[str, list[str]]]) -> None:
    for service, resources in described.items():
        desk.exact.fail_next(1, f"{service}/$metadata", Canned(200, csdl(resources)))


def test_the_command_names_what_appeared_and_vanished_and_says_so_in_its_exit_code(desk: Desk) -> None:
    described = as_catalogued()
    described["crm"]["Accounts"] = [*described["crm"]["Accounts"], "ClientGroupTwo"]
    described["financial"]["Journals"].remove("Description")
    answer(desk, described)
    told = desk.run("entities", "--drift", "--division", "2")
    assert told.exit_code == 8
    assert [line.split() for line in told.stdout.splitlines()] == [
        ["endpoint", "appeared", "vanished"],
        ["crm/Accounts", "ClientGroupTwo"],
        ["financial/Journals", "Description"],
    ]
    asked = [call for call in desk.exact.requests if "$metadata" in call.path]
    assert {call.division for call in asked} == {2}
    assert len(asked) == len(described)
    assert all("application/xml" in call.headers["accept"] for call in asked)
    assert told.stderr.startswith("2 of ")


def test_without_drift_the_command_prints_nothing_and_ends_well(desk: Desk) -> None:
    answer(desk, as_catalogued())
    told = desk.run("entities", "--drift")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.startswith("0 of ")


def test_a_service_that_cannot_be_asked_is_told_and_hides_no_other(desk: Desk) -> None:
    described = as_catalogued()
    del described["hrm"], described["financial"]["Journals"]
    described["crm"]["Accounts"].append("New")
    desk.exact.fail_next(1, "vat/$metadata", Canned(200, "<html>"))
    del described["vat"]
    for _ in range(3):
        desk.exact.fail_next(1, "vat/$metadata", Canned(200, "<html>"))
    answer(desk, described)
    told = desk.run("entities", "--drift", "--json")
    problems = {one["endpoint"]: one["problem"] for one in read_json(told) if one["problem"]}
    assert told.exit_code == 8
    assert set(problems) == {"hrm/Costcenters", "hrm/Costunits", "vat/VATCodes", "financial/Journals"}
    assert problems["financial/Journals"] == "$metadata does not describe Journals"
    assert "HTTP 404" in problems["hrm/Costunits"]


def test_when_no_service_can_be_asked_the_exit_code_says_why(desk: Desk) -> None:
    told = desk.run("entities", "--drift")
    assert told.exit_code == 6
    assert told.stderr.count("warning: ") == len(as_catalogued())
