"""Goods deliveries: what was delivered of a sales order, and to whom."""

from __future__ import annotations

from exact_source.sandbox.desk import Desk, Row

DELIVERIES, DELIVERY_LINES = "salesorder/GoodsDeliveries", "salesorder/GoodsDeliveryLines"
ORDERS, ORDER_LINES = "salesorder/SalesOrders", "salesorder/SalesOrderLines"
_PARTIAL, _COMPLETE = 20, 21
_NAMES = {12: "Open", 20: "Partial", 21: "Complete"}


def deliver(desk: Desk, key: str) -> None:
    """Let the orders behind a delivery say what was delivered of them by now."""
    orders = set()
    for line in desk.lines(DELIVERY_LINES, key):
        ordered = desk.row(ORDER_LINES, line["SalesOrderLineID"])
        if ordered is not None:
            _count(desk, ordered)
            orders.add(ordered["OrderID"])
    for order in orders:
        _follow(desk, order)
    header = desk.row(DELIVERIES, key)
    order = desk.row(ORDERS, min(orders)) if orders else None
    if header is not None and order is not None and header["DeliveryAccount"] != order["DeliverTo"]:
        party = {"DeliveryAccount": order["DeliverTo"], "DeliveryAccountName": order["DeliverToName"]}
        desk.update(DELIVERIES, key, party)


def _count(desk: Desk, ordered: Row) -> None:
    """A line is complete when all of it was delivered."""
    found = desk.mentioning(DELIVERY_LINES, ordered["ID"])
    done = round(
        sum(line["QuantityDelivered"] or 0.0 for line in found if line["SalesOrderLineID"] == ordered["ID"]), 3
    )
    status = _COMPLETE if done >= (ordered["Quantity"] or 0.0) else _PARTIAL
    if ordered["QuantityDelivered"] != done:
        desk.update(ORDER_LINES, ordered["ID"], {"QuantityDelivered": done, "DeliveryStatus": status})


def _follow(desk: Desk, key: str) -> None:
    order, statuses = desk.row(ORDERS, key), {line["DeliveryStatus"] for line in desk.lines(ORDER_LINES, key)}
    status = _COMPLETE if statuses == {_COMPLETE} else _PARTIAL
    if order is None or order["DeliveryStatus"] == status:
        return
    changes: Row = {"DeliveryStatus": status, "DeliveryStatusDescription": _NAMES[status]}
    if status == order["InvoiceStatus"] == _COMPLETE:
        changes |= {"Status": _COMPLETE, "StatusDescription": _NAMES[_COMPLETE]}
    desk.update(ORDERS, key, changes)
