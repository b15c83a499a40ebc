"""Writing: what POST, PUT and DELETE below ``/api/v1`` do once they are allowed (§9).

Each request is one transaction: a header, its lines and what they mean for the ledger, or nothing.
"""

from __future__ import annotations

import threading

from exact_source.catalogue import Endpoint
from exact_source.sandbox import attachments, deeds
from exact_source.sandbox.business_errors import Complaints
from exact_source.sandbox.changes import change, check_demanded, create, remove
from exact_source.sandbox.desk import Books, Desk
from exact_source.sandbox.families import family, short, sources
from exact_source.sandbox.messages import Refusal, Reply
from exact_source.sandbox.options import Options
from exact_source.sandbox.payloads import Payload, read_payload
from exact_source.sandbox.reading import NOT_FOUND, Reading, Visit
from exact_source.sandbox.targets import read_key

VERBS = frozenset({"POST", "PUT", "DELETE", "PATCH", "MERGE"})
NOT_ALLOWED = "Method {method} is not allowed."
# §9.1: these answer with everything, others with the key and nulls unless ``Prefer`` asks for more.
_GENEROUS = frozenset(
    {
        "salesinvoice/SalesInvoices",
        "purchaseentry/PurchaseEntries",
        "salesorder/SalesOrders",
        "documents/Documents",
        "documents/DocumentAttachments",
    }
)


class Writing:
    """Answers POST, PUT and DELETE, one at a time."""

    def __init__(self, books: Books, reading: Reading, options: Options) -> None:
        self._books = books
        self._reading = reading
        self._options = options
        self._lock = threading.Lock()

    def answer(self, visit: Visit) -> Reply:
        """Carry out one request on a division, or refuse it."""
        target, method, end = visit.target, visit.request.method, self._endpoint(visit)
        if method not in end.verbs or target.tail or (target.key is None) != (method == "POST"):
            raise Refusal(405, NOT_ALLOWED.format(method=method))
        self._reading.check_right(end, target.division)
        attachments.check_size(visit.request, self._options.body_limit)
        language = (self._options.language or self._books.user.language)[:2].lower()
        desk = Desk(self._books, target.division, visit.request.host, Complaints(language))
        with self._lock, self._books.records.in_transaction():
            reply = self._carried_out(visit, desk)
            desk.close()
        return reply

    def _endpoint(self, visit: Visit) -> Endpoint:
        if visit.target.endpoint is None:
            raise Refusal(404, NOT_FOUND.format(name=visit.target.path.rpartition("/")[2]))
        return self._reading.drifted(visit.target.endpoint)

    def _carried_out(self, visit: Visit, desk: Desk) -> Reply:
        end = self._endpoint(visit)
        if visit.request.method == "POST":
            payload = read_payload(visit.request, end)
            return (self._created if "GET" in end.verbs else self._done)(visit, desk, payload)
        path = sources(end.path)[0].family
        key = read_key(visit.target.key or "", end)
        old = desk.row(path, key if len(key) > 1 else key[0])
        if old is None:
            raise Refusal(404, NOT_FOUND.format(name=end.resource))
        if visit.request.method == "PUT":
            change(desk, end, old, payload=read_payload(visit.request, end))
        else:
            remove(desk, path, old)
        return Reply(204)

    def _created(self, visit: Visit, desk: Desk, payload: Payload) -> Reply:
        end = self._endpoint(visit)
        path, row = create(desk, end, payload)
        key = row[family(path).key[0].name]
        desk.close()
        wants_all = "return=representation" in visit.request.header("prefer").replace(" ", "").lower()
        if not wants_all and path not in _GENEROUS:
            row = {name: value for name, value in row.items() if _is_never_null(end, name)}
            row[end.key[0]] = key
            return self._reading.written(visit, end, row)
        return self._reading.written(visit, end, self._reading.stored(visit, end, key) or row)

    def _done(self, visit: Visit, desk: Desk, payload: Payload) -> Reply:
        """An endpoint that only takes POST does something with a record that is there."""
        end = self._endpoint(visit)
        check_demanded(desk, end, payload)
        desk.complaints.tell()
        row = {end.key[0]: None, **payload.values, **deeds.carry_out(desk, short(end.path), payload)}
        if row[end.key[0]] is None:
            row[end.key[0]] = desk.office.names.of("deed", desk.number("deed", 1))
        return self._reading.written(visit, end, row)


def _is_never_null(end: Endpoint, name: str) -> bool:
    member = end.field(name)
    return member is not None and member.edm in {"Edm.Boolean", "Edm.Byte"} and member.creatable
