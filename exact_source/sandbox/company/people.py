"""Relations: customers and suppliers with their contacts, addresses and bank accounts."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from exact_source.sandbox.company.countries import Country
from exact_source.sandbox.company.identifiers import account_code, random_iban, registration, three
from exact_source.sandbox.company.masters import country_name
from exact_source.sandbox.company.office import BOOKKEEPERS, Office, Party
from exact_source.sandbox.company.places import PLACES, Place
from exact_source.sandbox.company.store import Row

_COST_ROLES = (
    "stock", "energy", "phone", "office", "car", "marketing", "insurance", "software", "cleaning", "advisers", "travel",
    "training",
)  # fmt: skip
_ABROAD = {"NL": ("BE", "DE"), "BE": ("NL", "FR"), "FR": ("BE", "DE")}
_TOWNS_ABROAD = {"NL": ("Breda", "4811 AB"), "BE": ("Gent", "9000"), "FR": ("Lille", "59000"), "DE": ("Köln", "50667")}
_REMARKS = (
    None, None, None, None, None, "Betaalt altijd netjes op tijd 👍", "Let op: \"nieuwe\" inkoper sinds dit jaar",
    "Leveren op dinsdag.\nNiet in de vakantie.", "", "Korting afgesproken; zie offerte",
)  # fmt: skip
_FIRST_CODES = {"NL": 1_000, "BE": 400, "FR": 0}


def found_parties(office: Office, count: int, founded: date) -> None:
    """Write ``count`` relations, three customers to each supplier, and keep them in the office."""
    dice = office.names.dice("parties")
    used: set[str] = set()
    for number in range(1, count + 1):
        is_supplier = number % 4 == 0
        rows = _Relation(office, dice, number, is_supplier=is_supplier, founded=founded, used=used)
        rows.write()
        (office.suppliers if is_supplier else office.customers).append(rows.party)


def welcome(office: Office, number: int, day: date) -> Party:
    """Write one more customer, with its contact and address."""
    relation = _Relation(
        office, office.names.dice("welcome", number), number, is_supplier=False, founded=day, used=set()
    )
    relation.write()
    return relation.party


def account_id(office: Office, number: int) -> str:
    """The key of the relation with this number."""
    code = account_code(_FIRST_CODES[office.country.code] + number, office.country.code_digits)
    return office.names.of("account", code)


def _company_name(place: Place, dice: Random, used: set[str], *, is_supplier: bool) -> str:
    """A name nobody has yet: a town or a number is added when trade and owner are taken."""
    for attempt in range(1_000):
        name = dice.choice(place.suppliers if is_supplier else place.trades).format(dice.choice(place.last_names))
        name = name[0].upper() + name[1:]
        if attempt > 2:
            name = f"{name} {dice.choice(place.towns)[0]}"
        if attempt > 20:
            name = f"{name} {attempt}"
        if name not in used:
            break
    used.add(name)
    return name


class _Relation:
    """One relation and the rows that make it up."""

    def __init__(
        self, office: Office, dice: Random, number: int, *, is_supplier: bool, founded: date, used: set[str]
    ) -> None:
        self.office, self.dice, self.is_supplier = office, dice, is_supplier
        home = office.country.code
        self.place = PLACES[home]
        self.is_abroad = dice.random() < 0.07 and number > 4
        self.country = dice.choice(_ABROAD[home]) if self.is_abroad else home
        self.code = account_code(_FIRST_CODES[home] + number, office.country.code_digits)
        self.name = _company_name(self.place, dice, used, is_supplier=is_supplier)
        if number == 3:
            self.name = {"NL": 'Het "Gouden" Hoefijzer B.V.', "BE": "Café 't Hoekske BV"}.get(
                home, "L'Étoile « Bleue »"
            )
        self.since = founded - timedelta(days=dice.randrange(30, 1_500))
        self.town, self.postcode = self._town()
        self.street, self.house = dice.choice(self.place.streets), str(dice.randrange(1, 240))
        self.phone = f"{self.place.phone}{dice.randrange(10, 99)} {dice.randrange(10, 99)} {dice.randrange(10, 99)}"
        first, last = dice.choice(self.place.first_names), dice.choice(self.place.last_names)
        self.first, self.last = first, last
        self.party = self._party(number)

    def _town(self) -> tuple[str, str]:
        if self.is_abroad:
            return _TOWNS_ABROAD[self.country]
        town, postcode = self.dice.choice(self.place.towns)
        if self.country == "NL":
            postcode = f"{postcode} {self.dice.choice('ABCDEGHJKLPRVWXZ')}{self.dice.choice('ABCDEGHJKLPRVWXZ')}"
        return town, postcode

    def _party(self, number: int) -> Party:
        office, dice = self.office, self.dice
        conditions = office.country.conditions
        cost_role = _COST_ROLES[0] if number % 8 == 4 else _COST_ROLES[1 + number // 4 % (len(_COST_ROLES) - 1)]
        return Party(
            id=office.names.of("account", self.code),
            code=self.code,
            name=self.name,
            country=self.country,
            contact=office.names.of("contact", self.code, 1),
            contact_name=f"{self.first} {self.last}",
            address=office.names.of("address", self.code, 1),
            condition=dice.choice((conditions[0], conditions[0], conditions[1], conditions[3])),
            vat_kind=self._vat_kind(),
            cost_role=cost_role,
        )

    def _vat_kind(self) -> str:
        if self.is_supplier:
            return "buy_none" if self.is_abroad else "buy_high"
        return "abroad" if self.is_abroad else "high"

    def write(self) -> None:
        office = self.office
        office.writer.write("crm/Accounts", self._account())
        office.writer.write("crm/Contacts", self._contact(1))
        if self.dice.random() < 0.3:
            office.writer.write("crm/Contacts", self._contact(2))
        office.writer.write("crm/Addresses", self._address(1, 1))
        if self.dice.random() < 0.35:
            office.writer.write("crm/Addresses", self._address(2, self.dice.choice((2, 3, 4))))
        if self.is_supplier or self.dice.random() < 0.5:
            office.writer.write("crm/BankAccounts", self._bank_account())

    def _line1(self) -> str:
        if self.country == "FR":
            return f"{self.house} {self.street}"
        return f"{self.street} {self.house}"

    def _account(self) -> Row:
        office, dice, party = self.office, self.dice, self.party
        vat_number, chamber = registration(dice, self.country)
        is_customer = not self.is_supplier
        status = ("P" if dice.random() < 0.04 else "C") if is_customer else None
        vat = office.vat(party.vat_kind)
        word = "".join(letter for letter in self.last.lower() if letter.isascii() and letter.isalpha())
        return office.stamped(
            ID=party.id,
            AccountManager=office.names.of("user", 1) if dice.random() < 0.4 else None,
            AccountManagerFullName=BOOKKEEPERS[office.division % 3][0],
            AddressLine1=self._line1(),
            AddressLine2="Postbus 120" if dice.random() < 0.05 else None,
            Blocked=dice.random() < 0.01,
            ChamberOfCommerce=chamber if dice.random() < 0.9 else None,
            City=self.town,
            Code=self.code,
            Country=three(self.country),
            CountryName=country_name(self.country),
            Currency="EUR",
            CreditLineSales=float(dice.choice((0, 0, 2_500, 10_000))),
            CreditLinePurchase=0.0,
            CustomerSince=self.since if status == "C" else None,
            DiscountPurchase=0.0,
            DiscountSales=dice.choice((0.0, 0.0, 0.0, 0.025, 0.055)) if is_customer else 0.0,
            Email=f"info@{word or 'relatie'}.{self.place.domain}" if dice.random() < 0.9 else None,
            GLAccountPurchase=office.gl[party.cost_role].id if self.is_supplier else None,
            GLAP=office.gl["payable"].id,
            GLAR=office.gl["receivable"].id,
            InvoicingMethod=2,
            IsAccountant=0,
            IsAgency=0,
            IsAnonymised=0,
            IsBank=False,
            IsCompetitor=0,
            IsMailing=0,
            IsMember=False,
            IsPilot=False,
            IsPurchase=self.is_supplier,
            IsReseller=False,
            IsSales=is_customer,
            IsSupplier=self.is_supplier,
            Language=office.country.language.ljust(10),
            MainContact=party.contact,
            Name=self.name,
            PaymentConditionPurchase=party.condition.code if self.is_supplier else None,
            PaymentConditionPurchaseDescription=party.condition.description if self.is_supplier else None,
            PaymentConditionSales=party.condition.code if is_customer else None,
            PaymentConditionSalesDescription=party.condition.description if is_customer else None,
            Phone=self.phone,
            Postcode=self.postcode,
            PurchaseVATCode=three(vat.code) if self.is_supplier else None,
            PurchaseVATCodeDescription=vat.description if self.is_supplier else None,
            Remarks=dice.choice(_REMARKS),
            SalesVATCode=three(vat.code) if is_customer else None,
            SalesVATCodeDescription=vat.description if is_customer else None,
            SearchCode=(word or "relatie").upper()[:20],
            StartDate=self.since,
            Status=status,
            StatusSince=self.since if status else None,
            Type="A",
            VATNumber=vat_number,
            Website=f"https://www.{word}.{self.place.domain}" if dice.random() < 0.5 else "",
        )

    def _contact(self, number: int) -> Row:
        return contact_row(self.office, self.party, self.dice, self.country, number=number, own=(self.first, self.last))

    def _address(self, number: int, kind: int) -> Row:
        office, dice = self.office, self.dice
        street = self._line1() if number == 1 else f"{dice.choice(self.place.streets)} {dice.randrange(1, 90)}"
        return office.stamped(
            ID=office.names.of("address", self.code, number),
            Account=self.party.id,
            AccountIsSupplier=self.is_supplier,
            AccountName=self.name,
            AddressLine1=street,
            AddressLine2="t.a.v. de receptie" if dice.random() < 0.05 else None,
            City=self.town,
            Contact=self.party.contact if number == 1 else None,
            ContactName=self.party.contact_name if number == 1 else None,
            Country=three(self.country),
            CountryName=country_name(self.country),
            FreeBoolField_01=False,
            Main=number == 1,
            Notes=office.word("note").replace("\\n", "\n") if kind == 4 else None,
            Phone=self.phone if number == 1 else None,
            Postcode=self.postcode,
            Type=1 if number == 1 else kind,
        )

    def _bank_account(self) -> Row:
        number, bic = random_iban(self.dice, self.country)
        return self.office.stamped(
            ID=self.office.names.of("bank account", self.code),
            Account=self.party.id,
            AccountName=self.name,
            BankAccount=number,
            BankAccountHolderName=self.name,
            BankName=bic[:4],
            BICCode=bic,
            Blocked=False,
            Format="I",
            IBAN=number,
            Main=True,
            Type="A",
            TypeDescription="Relatie",
        )


def address_row(office: Office, party: Party, dice: Random, day: date) -> Row:
    """A delivery address that a customer opens on a day."""
    place = PLACES[office.country.code]
    town, postcode = dice.choice(place.towns)
    return office.stamped(
        ID=office.names.of("address", party.code, day),
        Account=party.id,
        AccountIsSupplier=False,
        AccountName=party.name,
        AddressLine1=f"{dice.choice(place.streets)} {dice.randrange(1, 300)}",
        City=town,
        Country=three(office.country.code),
        CountryName=country_name(office.country.code),
        Main=False,
        Postcode=postcode,
        Type=4,
    )


def contact_row(
    office: Office, party: Party, dice: Random, country: str, *, number: object, own: tuple[str, str] | None = None
) -> Row:
    """A person at a relation; ``own`` is the name of the main contact, used for number 1."""
    place = PLACES[office.country.code]
    is_main = number == 1
    if is_main and own:
        first, last = own
    else:
        first, last = dice.choice(place.first_names), dice.choice(place.last_names)
    prefix, _, core = last.rpartition(" ") if last[0].islower() else ("", "", last)
    person = "".join(letter for letter in first.lower() if letter.isascii() and letter.isalpha())
    return office.stamped(
        ID=office.names.of("contact", party.code, number),
        Account=party.id,
        AccountIsCustomer=not party.vat_kind.startswith("buy"),
        AccountIsSupplier=party.vat_kind.startswith("buy"),
        AccountMainContact=party.contact,
        AccountName=party.name,
        BusinessEmail=f"{person}@{place.domain}" if dice.random() < 0.85 else None,
        BusinessPhone=f"{place.phone}{dice.randrange(100, 999)}" if dice.random() < 0.6 else None,
        Code=account_code(dice.randrange(1, 99_999), office.country.code_digits),
        Country=three(country),
        Email=f"{person}@{place.domain}" if dice.random() < 0.7 else None,
        FirstName=first,
        FullName=f"{first} {last}",
        Gender=dice.choice(("M", "V", "O")),
        HID=dice.randrange(1, 999_999),
        IsAnonymised=0,
        IsMailingExcluded=dice.random() < 0.1,
        IsMainContact=is_main,
        JobTitleDescription=dice.choice(place.jobs),
        Language=office.country.language,
        LastName=core,
        MiddleName=prefix or None,
        Mobile=None if dice.random() < 0.5 else f"+31 6 {dice.randrange(10_000_000, 99_999_999)}",
        StartDate=None,
    )


def party_from(office: Office, row: Row) -> Party:
    """A relation as it stands in the store."""
    country: Country = office.country
    is_supplier = bool(row["IsSupplier"])
    code = row.get("PaymentConditionPurchase" if is_supplier else "PaymentConditionSales")
    condition = next((found for found in country.conditions if found.code == code), country.conditions[0])
    wanted = (row.get("PurchaseVATCode" if is_supplier else "SalesVATCode") or "").strip()
    fallback = "buy_high" if is_supplier else "high"
    roles = {gl.id: role for role, gl in office.gl.items()}
    return Party(
        id=row["ID"],
        code=row["Code"],
        name=row["Name"],
        country=(row.get("Country") or country.code).strip(),
        contact=row.get("MainContact"),
        contact_name=None,
        address=office.names.of("address", row["Code"], 1),
        condition=condition,
        vat_kind=next((kind for kind, vat in country.vat.items() if vat.code == wanted), fallback),
        cost_role=roles.get(row.get("GLAccountPurchase") or "", "office"),
    )
