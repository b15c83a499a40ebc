"""What comes before an invoice: quotations, sales orders, deliveries; and purchase orders."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company.identifiers import three
from exact_source.sandbox.company.masters import warehouse
from exact_source.sandbox.company.money import euros
from exact_source.sandbox.company.office import Office
from exact_source.sandbox.company.purchases import Purchase
from exact_source.sandbox.company.sales import Sale, SaleLine
from exact_source.sandbox.company.store import Row

ORDERS = "salesorder/SalesOrders"
ORDER_LINES = "salesorder/SalesOrderLines"
DELIVERIES = "salesorder/GoodsDeliveries"
QUOTATIONS = "crm/Quotations"
QUOTATION_LINES = "crm/QuotationLines"
PURCHASE_ORDERS = "purchaseorder/PurchaseOrders"
OPEN_ORDER, COMPLETE_ORDER = 12, 21
QUOTATION_STATUS = {5: "Afgekeurd", 25: "Open", 50: "Geaccepteerd"}
_ORDER_STATUS = {12: "Open", 21: "Compleet"}


def _item_members(line: SaleLine) -> Row:
    return {
        "CostCenter": line.center[0],
        "CostCenterDescription": line.center[1],
        "CostUnit": line.unit[0],
        "CostUnitDescription": line.unit[1],
        "Description": line.item.description,
        "Discount": line.discount / 10_000,
        "Item": line.item.id,
        "ItemDescription": line.item.description,
        "NetPrice": line.item.price * (10_000 - line.discount) // 10_000 / 10_000,
        "Notes": line.notes,
        "Quantity": line.quantity / 1_000,
        "UnitCode": line.item.unit.ljust(8),
        "UnitDescription": line.item.unit_name,
        "UnitPrice": line.item.price / 10_000,
        "VATCode": three(line.vat.code),
        "VATPercentage": line.vat.rate / 10_000,
    }


def write_order(office: Office, sale: Sale, ordered: date, *, is_complete: bool) -> None:
    """The sales order behind a sale; a complete one is delivered and about to be invoiced."""
    number = office.numbers.take("order")
    order_id = office.names.of("order", 0, number)
    status = COMPLETE_ORDER if is_complete else OPEN_ORDER
    customer = sale.customer
    office.writer.write(
        ORDERS,
        office.stamped(
            OrderID=order_id,
            AmountDC=euros(sale.base + sale.vat),
            AmountDiscount=0.0,
            AmountFC=euros(sale.base + sale.vat),
            AmountFCExclVat=euros(sale.base),
            ApprovalStatus=1,
            ApprovalStatusDescription="Automatisch",
            Currency="EUR",
            DeliverTo=customer.id,
            DeliverToContactPerson=customer.contact,
            DeliverToName=customer.name,
            DeliveryAddress=customer.address,
            DeliveryDate=sale.day,
            DeliveryStatus=status,
            DeliveryStatusDescription=_ORDER_STATUS[status],
            Description=f"{office.word('order')} {number}",
            Discount=0.0,
            InvoiceStatus=status,
            InvoiceStatusDescription=_ORDER_STATUS[status],
            InvoiceTo=customer.id,
            InvoiceToName=customer.name,
            OrderDate=ordered,
            OrderedBy=customer.id,
            OrderedByContactPerson=customer.contact,
            OrderedByContactPersonFullName=customer.contact_name,
            OrderedByName=customer.name,
            OrderNumber=number,
            PaymentCondition=customer.condition.code,
            PaymentConditionDescription=customer.condition.description,
            Remarks=sale.remarks,
            Status=status,
            StatusDescription=_ORDER_STATUS[status],
            WarehouseCode="1",
            WarehouseDescription="Magazijn",
            WarehouseID=warehouse(office),
            YourRef=None,
        ),
    )
    for place, line in enumerate(sale.lines, 1):
        line.order_line = office.names.of("order line", order_id, place)
        row = _order_line(office, sale, line, (order_id, number, place))
        done = line.quantity / 1_000 if is_complete else 0.0
        row |= {"DeliveryStatus": status, "InvoiceStatus": status, "OrderStatus": status}
        row |= {"QuantityDelivered": done, "QuantityInvoiced": done}
        office.writer.write(ORDER_LINES, row)
    if is_complete:
        sale.order = (order_id, number)
        _write_delivery(office, sale)


def _order_line(office: Office, sale: Sale, line: SaleLine, place: tuple[str, int, int]) -> Row:
    return {
        **_item_members(line),
        "ID": line.order_line,
        "AmountDC": euros(line.amount),
        "AmountFC": euros(line.amount),
        "CostPriceFC": line.item.cost / 10_000,
        "DeliveryDate": sale.day,
        "Division": office.division,
        "ItemCode": line.item.code,
        "LineNumber": place[2],
        "OrderID": place[0],
        "OrderNumber": place[1],
        "UseDropShipment": 0,
        "VATAmount": euros(line.vat_amount),
        "VATCodeDescription": line.vat.description,
    }


def _write_delivery(office: Office, sale: Sale) -> None:
    """The goods on an order, delivered on the day of the invoice; nothing for services only."""
    goods = [(place, line) for place, line in enumerate(sale.lines, 1) if line.item.is_stock]
    if not goods or sale.order is None:
        return
    number = office.numbers.take("delivery")
    entry_id = office.names.of("delivery", 0, number)
    customer = sale.customer
    office.writer.write(
        DELIVERIES,
        office.stamped(
            EntryID=entry_id,
            DeliveryAccount=customer.id,
            DeliveryAccountCode=customer.code,
            DeliveryAccountName=customer.name,
            DeliveryAddress=customer.address,
            DeliveryContact=customer.contact,
            DeliveryContactPersonFullName=customer.contact_name,
            DeliveryDate=sale.day,
            DeliveryNumber=number,
            Description=f"{office.word('delivery')} {number}",
            EntryNumber=number,
            Remarks=None,
            TrackingNumber=f"3S{number:09d}" if number % 2 else None,
            Warehouse=warehouse(office),
            WarehouseCode="1",
            WarehouseDescription="Magazijn",
        ),
    )
    for place, line in goods:
        row = office.stamped(
            ID=office.names.of("delivery line", entry_id, place),
            DeliveryDate=sale.day,
            Description=line.item.description,
            EntryID=entry_id,
            Item=line.item.id,
            ItemCode=line.item.code,
            ItemDescription=line.item.description,
            LineNumber=place,
            QuantityDelivered=line.quantity / 1_000,
            QuantityOrdered=line.quantity / 1_000,
            SalesOrderLineID=line.order_line,
            SalesOrderLineNumber=place,
            SalesOrderNumber=sale.order[1],
            Unitcode=line.item.unit.ljust(8),
        )
        office.writer.write("salesorder/GoodsDeliveryLines", row)


def quotation_line_id(office: Office, quotation_id: str, place: int) -> str:
    return office.names.of("quotation line", quotation_id, place)


def write_quotation(office: Office, sale: Sale, day: date, status: int) -> None:
    """A quotation for what a sale offers; ``status`` as in ``QUOTATION_STATUS``."""
    number = office.numbers.take("quotation")
    key = office.names.of("quotation", 0, number)
    customer = sale.customer
    office.writer.write(
        QUOTATIONS,
        office.stamped(
            QuotationID=key,
            AmountDC=euros(sale.base + sale.vat),
            AmountDiscount=0.0,
            AmountFC=euros(sale.base + sale.vat),
            CloseDate=sale.day if status != 25 else None,
            ClosingDate=day + timedelta(days=30),
            Currency="EUR",
            DeliveryAccount=customer.id,
            DeliveryAccountCode=customer.code,
            DeliveryAccountName=customer.name,
            DeliveryDate=sale.day,
            Description=f"{office.word('quotation')} {number}",
            InvoiceAccount=customer.id,
            InvoiceAccountCode=customer.code,
            InvoiceAccountName=customer.name,
            OrderAccount=customer.id,
            OrderAccountCode=customer.code,
            OrderAccountContact=customer.contact,
            OrderAccountContactFullName=customer.contact_name,
            OrderAccountName=customer.name,
            PaymentCondition=customer.condition.code,
            PaymentConditionDescription=customer.condition.description,
            QuotationDate=day,
            QuotationNumber=number,
            Remarks=sale.remarks,
            Status=status,
            StatusDescription=QUOTATION_STATUS[status],
            VATAmountFC=euros(sale.vat),
            VersionNumber=1,
            YourRef=None,
        ),
    )
    for place, line in enumerate(sale.lines, 1):
        row: Row = {
            **_item_members(line),
            "ID": quotation_line_id(office, key, place),
            "AmountDC": euros(line.amount),
            "AmountFC": euros(line.amount),
            "Division": office.division,
            "LineNumber": place,
            "Optional": False,
            "QuotationID": key,
            "QuotationNumber": number,
            "VATAmountFC": euros(line.vat_amount),
            "VATDescription": line.vat.description,
            "VersionNumber": 1,
        }
        office.writer.write(QUOTATION_LINES, row)


def write_purchase_order(office: Office, purchase: Purchase, dice: Random, *, is_received: bool) -> int:
    """The order behind a purchase of goods; returns its number."""
    number = office.numbers.take("purchase-order")
    key = office.names.of("purchase-order", 0, number)
    supplier = purchase.supplier
    status = 30 if is_received else 10
    ordered = purchase.day - timedelta(days=dice.randrange(3, 15))
    office.writer.write(
        PURCHASE_ORDERS,
        office.stamped(
            PurchaseOrderID=key,
            AmountDC=euros(purchase.base + purchase.vat),
            AmountDiscount=0.0,
            AmountFC=euros(purchase.base + purchase.vat),
            AmountFCExclVat=euros(purchase.base),
            ApprovalStatus=1,
            Currency="EUR",
            Description=f"{supplier.name} {number}",
            DropShipment=False,
            ExchangeRate=1.0,
            InvoiceStatus=status,
            OrderDate=ordered,
            OrderNumber=number,
            OrderStatus=status,
            PaymentCondition=supplier.condition.code,
            PaymentConditionDescription=supplier.condition.description,
            PurchaseOrderLineCount=len(purchase.lines),
            ReceiptDate=purchase.day,
            ReceiptStatus=status,
            Remarks=None,
            Source=1,
            Supplier=supplier.id,
            SupplierCode=supplier.code,
            SupplierContact=supplier.contact,
            SupplierName=supplier.name,
            VATAmount=euros(purchase.vat),
            Warehouse=warehouse(office),
            WarehouseCode="1",
            WarehouseDescription="Magazijn",
            YourRef=None,
        ),
    )
    for place, line in enumerate(purchase.lines, 1):
        item = line.item
        row = office.stamped(
            ID=office.names.of("purchase order line", key, place),
            AmountDC=euros(line.amount),
            AmountFC=euros(line.amount),
            Description=line.description,
            Discount=0.0,
            InvoicedQuantity=line.quantity / 1_000 if is_received else 0.0,
            Item=item.id if item else None,
            ItemCode=item.code if item else None,
            ItemDescription=item.description if item else None,
            LineNumber=place,
            NetPrice=item.cost / 10_000 if item else None,
            PurchaseOrderID=key,
            Quantity=line.quantity / 1_000,
            QuantityInPurchaseUnits=line.quantity / 1_000,
            ReceiptDate=purchase.day,
            ReceivedQuantity=line.quantity / 1_000 if is_received else 0.0,
            Unit=item.unit.ljust(8) if item else None,
            UnitDescription=item.unit_name if item else None,
            UnitPrice=item.cost / 10_000 if item else None,
            VATAmount=euros(line.vat_amount),
            VATCode=three(line.vat.code),
            VATDescription=line.vat.description,
            VATPercentage=line.vat.rate / 10_000,
        )
        office.writer.write("purchaseorder/PurchaseOrderLines", row)
    return number
