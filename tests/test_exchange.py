"""A request as a value: where it leads, and whose quota it spends."""

from __future__ import annotations

import pytest

from exact_source.errors import ConfigurationError
from exact_source.exchange import Request

GUID = "guid'00000000-0000-0000-0000-000000000001'"
FILE = "/docs/SysAttachment.aspx?ID=1&_Division_=7&Stamp=FR001"


@pytest.mark.parametrize(
    ("path", "link", "target"),
    [
        ("crm/Accounts", "/api/v1/5/crm/Accounts", 5),
        (f"crm/Accounts({GUID})", f"/api/v1/5/crm/Accounts({GUID})", 5),
        ("{division}/crm/Accounts", "/api/v1/5/crm/Accounts", 5),
        ("9/crm/Accounts", "/api/v1/9/crm/Accounts", 9),
        ("beta/cashflow/AllocationRule", "/api/v1/beta/5/cashflow/AllocationRule", 5),
        ("beta/{division}/cashflow/AllocationRule", "/api/v1/beta/5/cashflow/AllocationRule", 5),
        ("current/Me", "/api/v1/current/Me", None),
        ("crm/Accounts?$filter=Name eq 'Café'", "/api/v1/5/crm/Accounts?$filter=Name%20eq%20'Caf%C3%A9'", 5),
        ("crm/Accounts?$filter=Name%20eq%20'x'", "/api/v1/5/crm/Accounts?$filter=Name%20eq%20'x'", 5),
        ("crm/Accounts\r\nX: 1", "/api/v1/5/crm/Accounts%0D%0AX:%201", 5),
        (FILE, FILE, 7),
        (
            "https://start.exactonline.nl/api/v1/9/crm/Accounts?a=b|c",
            "https://start.exactonline.nl/api/v1/9/crm/Accounts?a=b|c",
            9,
        ),
    ],
)
def test_the_division_is_filled_in_where_the_path_has_none(path: str, link: str, target: int | None) -> None:
    request = Request("GET", path, 5)
    assert (request.link, request.target) == (link, target)


def test_options_are_encoded_behind_those_that_the_path_has() -> None:
    request = Request("GET", "crm/Accounts?$top=1", 5, query={"$filter": "Name eq 'a&b'", "$select": "ID,Name"})
    assert request.link == "/api/v1/5/crm/Accounts?$top=1&$filter=Name%20eq%20%27a%26b%27&$select=ID,Name"


def test_a_path_without_its_division_is_not_sent() -> None:
    with pytest.raises(ConfigurationError, match="needs a division"):
        assert Request("POST", "crm/Accounts").link


def test_a_body_is_no_part_of_what_is_shown() -> None:
    assert "Zwaan" not in repr(Request("POST", "crm/Accounts", 5, b'{"Name": "Zwaan"}'))
