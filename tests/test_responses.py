"""What statuses, headers and bodies become."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source import errors, responses

WHERE = "/api/v1/1/crm/Accounts"
HTML = b"<!DOCTYPE html><html><body>Maintenance: the server is down</body></html>"
GENERIC = "A problem has occurred. The cause of this issue will be investigated as soon as possible."


def as_json(text: object) -> bytes:
    return json.dumps({"error": {"code": "", "message": {"lang": "", "value": text}}}).encode()


def as_xml(text: str) -> bytes:
    names = 'xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
    return f'<?xml version="1.0"?><error {names}><code/><message xml:lang="">{text}</message></error>'.encode()


@pytest.mark.parametrize("body", [b"", HTML, b"{}", b"not json"])
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_good_status_is_no_failure(status: int, body: bytes) -> None:
    assert responses.failure(status, {}, body, WHERE) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, as_json("Bad Request - Error in query syntax."), errors.BadQuery),
        (400, as_xml("Bad Request - Error in query syntax."), errors.BadQuery),
        (400, b"", errors.BadQuery),
        (403, b"", errors.Forbidden),
        (404, as_json("Resource not found for the segment 'X'."), errors.NotFound),
        (404, HTML, errors.NotFound),
        (405, b"", errors.Rejected),
        (408, b"", errors.ServerFault),
        (500, as_json("Gegeven bestaat reeds."), errors.BusinessRule),
        (500, as_xml("Ongeldig: Leverancier (Type)"), errors.BusinessRule),
        (500, as_json(GENERIC), errors.ServerFault),
        (500, as_xml(GENERIC), errors.ServerFault),
        (500, b"", errors.ServerFault),
        (500, b"{}", errors.ServerFault),
        (500, b'{"fault": {"faultstring": "Execution failed", "detail": {"errorcode": "x"}}}', errors.ServerFault),
        (500, as_json(""), errors.ServerFault),
        (500, as_json(None), errors.ServerFault),
        (500, HTML, errors.Maintenance),
        (502, b"", errors.Maintenance),
        (503, HTML, errors.Maintenance),
        (503, b"", errors.Maintenance),
        (504, as_json("x"), errors.Maintenance),
        (302, b"", errors.Unreadable),
    ],
)
def test_each_failure_is_told_apart(status: int, body: bytes, kind: type[errors.ExactError]) -> None:
    assert type(responses.failure(status, {}, body, WHERE)) is kind


@pytest.mark.parametrize("reason", list(responses.REASONS))
def test_a_reason_that_holds_for_the_whole_division_is_marked_as_such(reason: str) -> None:
    found = responses.failure(403, {"Reason": reason}, as_json("Forbidden"), WHERE)
    assert isinstance(found, errors.Forbidden)
    assert found.is_division_wide
    assert reason in str(found)


def test_a_missing_scope_concerns_one_endpoint_and_a_missing_consent_a_division() -> None:
    scope = "Forbidden - Application Scope Violated. Cannot read 'organization.administration' scope."
    consent = "Forbidden - User division is not within division scope."
    one = responses.failure(403, {}, as_json(scope), WHERE)
    other = responses.failure(403, {}, as_json(consent), WHERE)
    assert isinstance(one, errors.Forbidden)
    assert isinstance(other, errors.Forbidden)
    assert not one.is_division_wide
    assert other.is_division_wide
    assert "organization.administration" in str(one)


def test_several_messages_come_on_one_line_and_are_not_endless() -> None:
    assert responses.message(as_json("Verplicht: Serie\r\nOngeldige referentie: Leveren aan")) == (
        "Verplicht: Serie | Ongeldige referentie: Leveren aan"
    )
    assert len(responses.message(as_json("x" * 10_000))) == responses.SHOWN
    assert responses.message(b"\xef\xbb\xbf" + as_json("with a mark")) == "with a mark"


BODIES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "message", "value", "d"]), inner, max_size=3)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(st.integers(100, 599), BODIES, st.dictionaries(st.sampled_from(["Reason", "Date"]), st.text(max_size=20)))
@example(500, b"[" * 5000, {})
@example(500, b'{"error":' * 5000, {})
@example(400, '{"error": {"message": "\ud83d"}}'.encode("utf-8", "surrogatepass"), {})
def test_no_answer_whatever_it_holds_makes_the_reading_of_it_fail(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    found = responses.failure(status, headers, body, WHERE)
    assert (found is None) == (200 <= status < 300)
    if found is not None:
        assert str(found)
        assert len(str(found)) < 600


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("Could not find a property named 'ClientGroup' on type 'Exact.Web.Api.Models.Account'.", "ClientGroup"),
        ("No property 'X' exists in type 'Y' at position 5.", "X"),
        ("The property name 'NotAField' specified for type 'Exact.Web.Api.Models.Contact' is not valid.", "NotAField"),
        ("Bad Request - Error in query syntax.", None),
        ("Filtering on these fields is not supported: Classification1", None),
    ],
)
def test_a_400_names_the_member_that_is_missing(text: str, member: str | None) -> None:
    found = responses.failure(400, {}, as_json(text), WHERE)
    assert isinstance(found, errors.BadQuery)
    assert responses.missing_member(found) == member


def test_mandatory_filtering_is_recognised() -> None:
    text = (
        "This endpoint has mandatory filtering applied. A GET request for this endpoint must have a $filter parameter"
    )
    found = responses.failure(400, {}, as_json(text), WHERE)
    assert isinstance(found, errors.BadQuery)
    assert responses.wants_filter(found)
    assert not responses.wants_filter(errors.BadQuery("x"))
