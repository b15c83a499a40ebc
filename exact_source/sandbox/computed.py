"""Answers that are worked out rather than stored: the user, the user's rights, and where a sync stream may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exact_source.catalogue import endpoint, readable_paths
from exact_source.sandbox.amsterdam import utc_offset, wall_clock
from exact_source.sandbox.bodies import decode
from exact_source.sandbox.families import sources
from exact_source.sandbox.literals import Literal, read_literals
from exact_source.sandbox.messages import bad_query
from exact_source.sandbox.pages import Body
from exact_source.sandbox.records import Records
from exact_source.sandbox.scans import Scan

# §6.4: the streams that the function knows; not Accounts, Items, GLAccounts, Contacts or Documents.
_DATED_STREAMS = frozenset(
    "QuotationHeaders QuotationLines TransactionLines ItemStorageLocations ShopOrders ShopOrderMaterialPlans "
    "ShopOrderRoutingStepPlans ShopOrderPurchasePlanning ShopOrderSubOrders MaterialIssues BillOfMaterialVersions "
    "BillOfMaterialMaterials PurchaseOrders Projects ProjectPlanning ProjectWBS TimeCostTransactions SalesInvoices "
    "GoodsDeliveries GoodsDeliveryLines SalesOrderHeaders SalesOrderLines Subscriptions SubscriptionLines".split()
)


@dataclass(frozen=True, slots=True)
class User:
    """The person behind the consent."""

    user_id: str
    name: str = "s.deboer"
    full_name: str = "Sanne de Boer"
    first_name: str = "Sanne"
    middle_name: str = "de"
    last_name: str = "Boer"
    email: str = "sanne.deboer@example.com"
    language: str = "en-GB"


def me(user: User, division: Mapping[str, Any], now: datetime) -> Body:
    """The row of ``current/Me``, as stored members."""
    return {
        "CurrentDivision": division["Code"],
        "DivisionCustomer": division.get("Customer"),
        "DivisionCustomerCode": division.get("CustomerCode"),
        "DivisionCustomerName": division.get("CustomerName"),
        "DivisionCustomerVatNumber": division.get("VATNumber"),
        "DivisionCustomerSiretNumber": "",
        "AccountingDivision": division["Code"],
        "IsEmployeeSelfServiceUser": False,
        "IsMyFirmLiteUser": False,
        "IsStarterUser": False,
        "IsMyFirmPortalUser": False,
        "IsClientUser": False,
        "FullName": user.full_name,
        "UserID": user.user_id,
        "UserName": user.name,
        "LanguageCode": user.language,
        "Legislation": 1,
        "Email": user.email,
        "Initials": user.first_name[:1] + ".",
        "FirstName": user.first_name,
        "MiddleName": user.middle_name,
        "LastName": user.last_name,
        "Language": user.language[:2].upper(),
        "ServerTime": wall_clock(now).replace(microsecond=0).isoformat(),
        "ServerUtcOffset": utc_offset(now),
        "EmployeeID": "00000000-0000-0000-0000-000000000000",
        "IsOEIMigrationMandatory": False,
    }


def parameter(options: Mapping[str, str], name: str, edm: str) -> Any:
    """A mandatory plain parameter of a function endpoint, written as an OData literal (§1)."""
    text = next((value for key, value in options.items() if key.lower() == name.lower()), None)
    literals = read_literals(text) if text else []
    if len(literals) != 1 or literals[0].edm != edm:
        raise bad_query()
    literal: Literal = literals[0]
    return literal.value


def sync_timestamp(records: Records, division: int, options: Mapping[str, str]) -> list[Body]:
    """The first record changed at or after a moment, in the order of the stream (§6.4)."""
    modified = parameter(options, "modified", "Edm.DateTime")
    stream = parameter(options, "endPoint", "Edm.String")
    if stream not in _DATED_STREAMS:
        raise bad_query()
    path = next(path for path in readable_paths() if "/sync/" in path and endpoint(path).resource == stream)
    families = tuple(records.number(source.family) for source in sources(path))
    scan = Scan(division, families, order="rowversion", modified=(modified, None))
    first = next(records.walk(scan), None)
    if first is None:
        return []
    moment = decode(first.body).get("Modified")
    return [{"Modified": moment, "API": stream, "TimeStampAsBigInt": first.rowversion}]
