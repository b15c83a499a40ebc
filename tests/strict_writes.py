"""The strict Exact, which also takes writes: it counts what was made, and can lose its answer after that (§9).

Knows neither ``exact_source`` nor its sandbox, as ``strict_exact``, whose quotas, tokens and reading it has.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import strict_odata as odata
from strict_exact import Canned, Reply, Request, StrictExact, fields_of
from strict_odata import ODataError, Row, Table

NO_OBJECT = "Error processing request stream. The request should be a valid top-level resource object."
STAMPS = "Created:DateTime Modified:DateTime"
ORDERS = fields_of(
    f"{STAMPS} Description Document:Guid OrderDate:DateTime OrderID:Guid OrderedBy:Guid Remarks "
    "AmountFC:Double SalesOrderLines:Collection Status:Int16 YourRef"
)
ACCOUNTS = fields_of(f"Code {STAMPS} Email ID:Guid Name Status")
DOCUMENTS = fields_of(f"Account:Guid {STAMPS} ID:Guid Subject Type:Int32")
ATTACHMENTS = fields_of("Attachment:Binary Document:Guid FileName FileSize:Double ID:Guid Url")
HOURS = fields_of(f"{STAMPS} Employee:Guid Hours:Double ID:Guid Item:Guid Quantity:Double")
MANDATORY = {
    "salesorder/SalesOrders": ("OrderedBy", "SalesOrderLines"),
    "crm/Accounts": ("Name",),
    "documents/Documents": ("Subject", "Type"),
    "documents/DocumentAttachments": ("Attachment", "Document", "FileName"),
}
READ_ONLY = {"Created", "Modified", "FileSize", "Url"}
# Whose POST answers with values, whether asked to or not (§9.1).
TELLING = {"salesorder/SalesOrders", "documents/Documents", "documents/DocumentAttachments"}


@dataclass(frozen=True, slots=True)
class Late:
    """The request is carried out, and answered with this all the same."""

    reply: Canned


@dataclass
class Ruin:
    """What becomes of the answer to one write: ``do`` is called after it was carried out and before it is answered."""

    do: Callable[[], object]
    answer: str = "drop"


def tables(divisions: tuple[int, ...]) -> list[Table]:
    def table(path: str, members: Mapping[str, str], **options: Any) -> Table:
        return Table(path, members, {code: [] for code in divisions}, **options)

    return [
        table("salesorder/SalesOrders", ORDERS, key=("OrderID",)),
        table("crm/Accounts", ACCOUNTS),
        table("documents/Documents", DOCUMENTS),
        table("documents/DocumentAttachments", ATTACHMENTS),
        table("project/TimeTransactions", HOURS),
    ]


@dataclass
class Plot:
    """What happens to the writes to come, by their number from 0; None lets a write pass."""

    of: Callable[[Request], Ruin | Canned | Late | str | None] = field(default=lambda call: None)


class StrictWrites(StrictExact):
    """``made`` counts the rows that POST made. ``plot`` spoils writes; ``rule`` may refuse one with a text."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.made = 0
        self.plot = Plot()
        self.rule: Callable[[str, Row], str | None] = lambda path, row: None

    def writes(self, method: str = "POST") -> list[Request]:
        return [call for call in list(self.requests) if call.method == method and call.is_data]

    def _spoiled(self, call: Request) -> Reply:
        ruin = self.plot.of(call) if call.method != "GET" and call.is_data else None
        if ruin is None:
            return super()._spoiled(call)
        if isinstance(ruin, Canned):
            return Reply(ruin.status, _raw(ruin), ruin.headers)
        if ruin == "reset":
            return Reply(0, fault="reset")
        reply = self._answer(call)
        if isinstance(ruin, Late):
            return Reply(ruin.reply.status, _raw(ruin.reply), ruin.reply.headers)
        if isinstance(ruin, Ruin):
            ruin.do()
            return reply._replace(fault=ruin.answer)
        return reply._replace(fault=str(ruin))

    def _worded(self, call: Request) -> Reply:
        if call.method == "GET":
            return super()._worded(call)
        try:
            return self._written(call)
        except ODataError as error:
            text = odata.error_text(error.text, as_json=call.wants_json).encode()
            return Reply(error.status, text, {"Content-Type": "application/json;charset=utf-8", **error.headers})

    def _written(self, call: Request) -> Reply:
        self._admit(call)
        table = self._tables.get(call.resource)
        if table is None or call.method not in ("POST", "PUT", "DELETE"):
            raise ODataError(404 if table is None else 405, "Method Not Allowed")
        if call.method == "POST":
            return self._posted(call, table)
        found = self._row_of(call, table)
        if call.method == "DELETE":
            if refusal := self.rule(f"DELETE {call.resource}", found):
                raise ODataError(500, refusal)
            self.delete(call.resource, call.division or 0, found[table.identity])
        else:
            self.upsert(
                call.resource, call.division or 0, {**self._body(call, table), table.identity: found[table.identity]}
            )
        return Reply(204)

    def _row_of(self, call: Request, table: Table) -> Row:
        rows = self._place(call.resource, call.division or 0)[1]
        wanted = odata.literals(call.key or "", [table.fields[table.identity]])
        for row in rows:
            if [odata.comparable(table.fields[table.identity], row[table.identity])] == wanted:
                return row
        raise ODataError(404, f"Resource not found for the segment '{table.path.rpartition('/')[2]}'.")

    def _posted(self, call: Request, table: Table) -> Reply:
        body = self._body(call, table)
        missing = [name for name in MANDATORY.get(call.resource, ()) if body.get(name) in (None, [], "")]
        refusal = "\r\n".join(f"Verplicht: {name}" for name in missing) or self.rule(call.resource, body)
        if refusal:
            raise ODataError(500, refusal)
        if "Attachment" in body:
            body["FileSize"] = float(len(base64.b64decode(body.pop("Attachment"))))
        own = {table.identity: str(uuid4()), **({"Created": self._local()} if "Created" in table.fields else {})}
        row = self.upsert(call.resource, call.division or 0, {**body, **own})
        self.made += 1
        is_told = call.resource in TELLING or call.headers.get("prefer") == "return=representation"
        shown = row if is_told else {**dict.fromkeys(row), table.identity: row[table.identity]}
        url = f"{self.base_url}/api/v1/{call.division}/{table.path}"
        text = f'{{"d" : {odata.row_json(odata.Question([], table), shown, url)}}}'
        return Reply(201, text.encode(), {"Content-Type": "application/json;charset=utf-8"})

    def _body(self, call: Request, table: Table) -> Row:
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        if not call.headers.get("content-type", "").startswith("application/json") or not isinstance(body, dict):
            raise ODataError(400, NO_OBJECT)
        for name in body:
            if name not in table.fields:
                text = f"The property name '{name}' specified for type '{table.type_name}' is not valid."
                raise ODataError(400, f"Error processing request stream. {text}")
        return {name: value for name, value in body.items() if name not in READ_ONLY}


def _raw(reply: Canned) -> bytes:
    return reply.body.encode() if isinstance(reply.body, str) else reply.body
