"""Goods and services: item groups, items with prices, and what is in stock."""

from __future__ import annotations

from random import Random

from exact_source.sandbox.company.identifiers import three
from exact_source.sandbox.company.masters import warehouse
from exact_source.sandbox.company.money import half_up
from exact_source.sandbox.company.office import Item, Office
from exact_source.sandbox.company.places import ASSORTMENTS, Assortment
from exact_source.sandbox.company.store import Row

_SERVICES = 2
_CHEAP, _DEAR = 20_000, 1_000_000


def found_items(office: Office, count: int, worth: int) -> None:
    """Write the item groups and make ``count`` items with a stock of about ``worth`` cents each.

    The items themselves are written by ``write_items``.
    """
    dice = office.names.dice("items")
    assortments = ASSORTMENTS[office.country.code]
    for index, assortment in enumerate(assortments):
        office.writer.write("logistics/ItemGroups", _group(office, index, assortment))
        unit = office.stamped(
            ID=office.names.of("uom", assortment.unit), Active=True, Code=assortment.unit.ljust(8),
            Description=assortment.unit_name, Main=0, Type="O",
        )  # fmt: skip
        if all(other.unit != assortment.unit for other in assortments[:index]):
            office.writer.write("logistics/Units", {k: v for k, v in unit.items() if k in _UNIT_MEMBERS})
    for number in range(count):
        group = (0, 0, 0, 1, 1, 2)[number % 6]
        office.items.append(_item(office, assortments[group], group, number, dice))
        item = office.items[-1]
        pieces = worth * dice.randrange(30, 171) // item.cost + 1
        office.stock[item.id] = 1_000 * pieces if item.is_stock else 0


_UNIT_MEMBERS = frozenset({"ID", "Active", "Code", "Description", "Division", "Main", "Type"})


def _item(office: Office, assortment: Assortment, group: int, number: int, dice: Random) -> Item:
    noun, base = assortment.nouns[number // 6 % len(assortment.nouns)]
    variant = dice.choice(assortment.variants)
    price = base * 100 + (dice.randrange(0, 200) * base // 4 // 100 * 100 if base > 100 else dice.randrange(0, 99))
    cost = half_up(price * dice.randrange(48, 72), 10_000) * 100 or 50
    code = f"{'0' if number % 5 == 0 else ''}{assortment.code[:3]}-{number + 1:04d}"
    return Item(
        id=office.names.of("item", code),
        code=code,
        description=f"{noun} {variant}" + (f" no. {number + 1}" if number >= 40 else ""),
        unit=assortment.unit,
        unit_name=assortment.unit_name,
        price=price,
        cost=cost,
        vat_kind=assortment.vat,
        group=group,
        is_stock=group != _SERVICES,
        is_fraction=assortment.unit in {"kg", "uur", "h"},
    )


def _group_members(office: Office, group: int) -> Row:
    revenue, cost, stock = office.gl[f"revenue_{group + 1}"], office.gl[f"cost_{group + 1}"], office.gl["stock"]
    return {
        "GLRevenue": revenue.id, "GLRevenueCode": revenue.code, "GLRevenueDescription": revenue.description,
        "GLCosts": cost.id, "GLCostsCode": cost.code, "GLCostsDescription": cost.description,
        "GLStock": stock.id, "GLStockCode": stock.code, "GLStockDescription": stock.description,
    }  # fmt: skip


def _group(office: Office, index: int, assortment: Assortment) -> Row:
    return office.stamped(
        ID=office.names.of("item group", assortment.code),
        Code=assortment.code,
        Description=assortment.name,
        IsDefault=1 if index == 0 else 0,
        Notes=None,
        **_group_members(office, index),
    )


def write_items(office: Office) -> None:
    """The items as they are now, with their stock."""
    for number, item in enumerate(office.items):
        assortment = ASSORTMENTS[office.country.code][item.group]
        vat = office.vat(item.vat_kind)
        stock = office.stock[item.id] / 1_000
        row = office.stamped(
            ID=item.id,
            AverageCost=item.cost / 10_000,
            Barcode=f"87{number:011d}" if item.is_stock and number % 3 else None,
            Code=item.code,
            CopyRemarks=0,
            CostPriceCurrency="EUR",
            CostPriceNew=item.cost / 10_000,
            CostPriceStandard=item.cost / 10_000,
            Description=item.description,
            ExtraDescription="Nieuw in het assortiment ✨" if number % 17 == 3 else None,
            GrossWeight=round(0.125 * (number % 40 + 1), 3) if item.is_stock else None,
            IsBatchItem=0,
            IsFractionAllowedItem=item.is_fraction,
            IsMakeItem=0,
            IsNewContract=0,
            IsOnDemandItem=0,
            IsPackageItem=False,
            IsPurchaseItem=item.is_stock,
            IsSalesItem=True,
            IsSerialItem=False,
            IsStockItem=item.is_stock,
            IsSubcontractedItem=False,
            IsTaxableItem=1,
            IsTime=0 if item.is_stock else 1,
            IsWebshopItem=1 if number % 2 else 0,
            ItemGroup=office.names.of("item group", assortment.code),
            ItemGroupCode=assortment.code,
            ItemGroupDescription=assortment.name,
            Notes=None,
            SalesVatCode=three(vat.code),
            SalesVatCodeDescription=vat.description,
            SearchCode=item.code.replace("-", ""),
            SecurityLevel=10,
            StandardSalesPrice=item.price / 10_000,
            StartDate=None,
            Stock=stock,
            Unit=item.unit.ljust(8),
            UnitDescription=item.unit_name,
            UnitType="O" if item.is_stock else "T",
            **_group_members(office, item.group),
        )
        office.writer.write("logistics/Items", row)
        if item.is_stock:
            office.writer.write("sync/Inventory/StockPositions", _position(office, item, stock))


def position_id(office: Office, item: Item) -> str:
    return office.names.of("stock", item.code)


def _position(office: Office, item: Item, stock: float) -> Row:
    return {
        "ID": position_id(office, item),
        "CurrentStock": stock,
        "Division": office.division,
        "FreeStock": stock,
        "ItemCode": item.code,
        "ItemDescription": item.description,
        "ItemId": item.id,
        "PlanningIn": 0.0,
        "PlanningOut": 0.0,
        "ProjectedStock": stock,
        "ReorderPoint": 25.0,
        "ReservedStock": 0.0,
        "UnitCode": item.unit.ljust(8),
        "UnitDescription": item.unit_name,
        "Warehouse": warehouse(office),
        "WarehouseCode": "1",
        "WarehouseDescription": "Magazijn",
    }


def item_from(office: Office, row: Row) -> Item:
    """An item as it stands in the store; items made elsewhere count as goods of the first group."""
    code = (row.get("SalesVatCode") or "").strip()
    groups = [assortment.code for assortment in ASSORTMENTS[office.country.code]]
    group = groups.index(row["ItemGroupCode"]) if row.get("ItemGroupCode") in groups else 0
    return Item(
        id=row["ID"],
        code=row["Code"],
        description=row.get("Description") or row["Code"],
        unit=(row.get("Unit") or "").strip(),
        unit_name=row.get("UnitDescription") or "",
        price=round((row.get("StandardSalesPrice") or 1.0) * 10_000),
        cost=round((row.get("CostPriceStandard") or 0.5) * 10_000),
        vat_kind=next((kind for kind, vat in office.country.vat.items() if vat.code == code), "high"),
        group=group,
        is_stock=bool(row.get("IsStockItem")),
        is_fraction=bool(row.get("IsFractionAllowedItem")),
    )


def likely_quantity(item: Item, dice: Random) -> int:
    """Thousandths: many of what is cheap, few of what is dear, quarters of what may be split."""
    if item.price < _CHEAP:
        return 1_000 * dice.choice((25, 50, 100, 250, 500))
    if item.is_fraction:
        return 250 * dice.randrange(1, 33)
    return 1_000 * dice.randrange(1, 4 if item.price > _DEAR else 13)
