"""Projects with hours and costs, and subscriptions that are invoiced every month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company.identifiers import three
from exact_source.sandbox.company.money import euros
from exact_source.sandbox.company.office import Item, Office, Party
from exact_source.sandbox.company.sales import Sale, sell
from exact_source.sandbox.company.store import Row

PROJECTS = "project/Projects"
HOURS = "project/TimeTransactions"
COSTS = "project/CostTransactions"
_SERVICES = 2
_TYPES = {3: "Vaste prijs", 2: "Nacalculatie"}


@dataclass(frozen=True, slots=True)
class Project:
    """Work for a customer."""

    id: str
    code: str
    description: str
    customer: Party


@dataclass(frozen=True, slots=True)
class Subscription:
    """A service that a customer pays for every month."""

    id: str
    number: int
    description: str
    customer: Party
    item: Item
    quantity: int


def found_projects(office: Office, count: int, first: date) -> list[Project]:
    dice = office.names.dice("projects")
    return [_found_project(office, number, dice, first) for number in range(1, count + 1)]


def project_id(office: Office, number: int) -> str:
    return office.names.of("project", number)


def project_from(office: Office, row: Row) -> Project | None:
    """A project as it stands in the store; None when its customer is gone."""
    customer = next((party for party in office.customers if party.id == row["Account"]), None)
    return Project(row["ID"], row["Code"], row["Description"], customer) if customer else None


def _found_project(office: Office, number: int, dice: Random, first: date) -> Project:
    customer = office.customers[(number * 3) % len(office.customers)]
    description = f"{office.word('project')} {customer.name}"[:60]
    project = Project(project_id(office, number), f"P{number:04d}", description, customer)
    kind = dice.choice((2, 3))
    start = first + timedelta(days=dice.randrange(0, 300))
    office.writer.write(
        PROJECTS,
        office.stamped(
            ID=project.id,
            Account=project.customer.id,
            AccountCode=project.customer.code,
            AccountContact=project.customer.contact,
            AccountName=project.customer.name,
            AllowAdditionalInvoicing=kind == 3,
            BlockEntry=False,
            BlockInvoicing=False,
            BlockPurchasing=False,
            BudgetedAmount=float(dice.randrange(20, 400) * 100),
            BudgetedCosts=float(dice.randrange(10, 200) * 100),
            Code=project.code,
            Description=project.description,
            EndDate=start + timedelta(days=dice.randrange(60, 500)) if dice.random() < 0.6 else None,
            HasWBSLines=False,
            InternalNotes="Sleutel bij de buren 🔑" if number % 4 == 1 else None,
            Notes=None,
            SalesTimeQuantity=0.0,
            StartDate=start,
            Type=kind,
            TypeDescription=_TYPES[kind],
        ),
    )
    return project


def write_hours(office: Office, project: Project, day: date, dice: Random) -> None:
    """Hours spent on a project, booked on a service item."""
    services = [item for item in office.items[:60] if item.group == _SERVICES] or office.items
    number = office.numbers.take("time")
    quantity = 250 * dice.randrange(2, 33)
    row = _transaction(office, HOURS, (project, dice.choice(services), number), day, quantity)
    row |= {"ProjectCode": project.code, "Notes": office.word("hours"), "Type": 1}
    row["HourStatus"] = dice.choice((10, 20, 20, 20))
    office.writer.write(HOURS, row)


def write_costs(office: Office, project: Project, day: date, dice: Random) -> None:
    """Costs made on a project."""
    number = office.numbers.take("costs")
    item = dice.choice(office.items[:60])
    row = _transaction(office, COSTS, (project, item, number), day, 1_000 * dice.randrange(1, 9))
    row |= {"Notes": office.word("travel"), "Type": 2, "HourStatus": 20}
    office.writer.write(COSTS, row)


def _transaction(office: Office, family: str, what: tuple[Project, Item, int], day: date, quantity: int) -> Row:
    project, item, number = what
    amount = euros(quantity * item.price // 100_000)
    customer = project.customer
    return office.stamped(
        ID=office.names.of("time" if family == HOURS else "costs", 0, number),
        Account=customer.id,
        AccountName=customer.name,
        Amount=amount,
        AmountFC=amount,
        Currency="EUR",
        Date=day,
        DivisionDescription=None,
        Employee=office.names.of("employee", number % 5),
        EntryNumber=number,
        ErrorText=None,
        Item=item.id,
        ItemDescription=item.description,
        ItemDivisable=item.is_fraction,
        Price=item.price / 10_000,
        PriceFC=item.price / 10_000,
        Project=project.id,
        ProjectAccount=customer.id,
        ProjectAccountCode=customer.code,
        ProjectAccountName=customer.name,
        ProjectDescription=project.description,
        Quantity=quantity / 1_000,
    )


def found_subscriptions(office: Office, count: int, first: date) -> list[Subscription]:
    dice = office.names.dice("subscriptions")
    services = [item for item in office.items if item.group == _SERVICES]
    return [_found_subscription(office, number, services, dice, first) for number in range(1, count + 1)]


def _found_subscription(office: Office, number: int, services: list[Item], dice: Random, first: date) -> Subscription:
    customer = office.customers[(number * 7) % len(office.customers)]
    subscription = Subscription(
        id=office.names.of("subscription", number),
        number=number,
        description=f"{office.word('subscription')} {number}",
        customer=customer,
        item=dice.choice(services),
        quantity=500 * dice.randrange(1, 7),
    )
    line = sell(office, subscription.item, customer, subscription.quantity)
    office.writer.write(
        "subscription/Subscriptions",
        office.stamped(
            EntryID=subscription.id,
            BlockEntry=False,
            CancellationDate=None,
            Currency="EUR",
            Description=subscription.description,
            EndDate=None,
            InvoiceDay=1,
            InvoiceTo=customer.id,
            InvoiceToName=customer.name,
            InvoicingStartDate=first,
            Number=number,
            OrderedBy=customer.id,
            OrderedByContactPerson=customer.contact,
            OrderedByName=customer.name,
            PaymentCondition=customer.condition.code,
            PaymentConditionDescription=customer.condition.description,
            Printed=False,
            StartDate=first,
            SubscriptionTypeCode="M",
            SubscriptionTypeDescription="Maand",
        ),
    )
    row: Row = {
        "ID": office.names.of("subscription line", number),
        "AmountDC": euros(line.amount),
        "AmountFC": euros(line.amount),
        "Description": subscription.item.description,
        "Discount": 0.0,
        "Division": office.division,
        "EntryID": subscription.id,
        "FromDate": first,
        "Item": subscription.item.id,
        "ItemDescription": subscription.item.description,
        "LineNumber": 1,
        "LineType": 1,
        "LineTypeDescription": "Terugkerend",
        "Modified": office.moment,
        "NetPrice": subscription.item.price / 10_000,
        "Quantity": subscription.quantity / 1_000,
        "SubscriptionNumber": number,
        "ToDate": None,
        "UnitCode": subscription.item.unit.ljust(8),
        "UnitDescription": subscription.item.unit_name,
        "UnitPrice": subscription.item.price / 10_000,
        "VATAmountFC": euros(line.vat_amount),
        "VATCode": three(line.vat.code),
        "VATCodeDescription": line.vat.description,
    }
    office.writer.write("subscription/SubscriptionLines", row)
    return subscription


def subscription_sale(office: Office, subscription: Subscription, day: date) -> Sale:
    """The month's invoice of a subscription."""
    line = sell(office, subscription.item, subscription.customer, subscription.quantity)
    sale = Sale(subscription.customer, day, [line])
    sale.subscription = (subscription.id, subscription.description)
    return sale
