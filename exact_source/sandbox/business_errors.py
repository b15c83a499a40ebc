"""What Exact refuses as a business: HTTP 500 with texts in the user's language, joined by CRLF (§5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from exact_source.sandbox.families import singular
from exact_source.sandbox.messages import Refusal

Kind = Literal["exists", "mandatory", "reference", "invalid", "locked", "in_use", "unbalanced", "period"]

_TEXTS: dict[str, dict[Kind, str]] = {
    "en": {
        "exists": "Data already exists",
        "mandatory": "Mandatory: {0}",
        "reference": "Invalid reference: {0}",
        "invalid": "Invalid: {0}",
        "locked": "Cannot change: {0} - Status: {1}",
        "in_use": "Cannot delete: {0} - Used in: {1}",
        "unbalanced": "Entry is not balanced: {0}",
        "period": "Invalid: Period - {0}",
    },
    "nl": {
        "exists": "Gegeven bestaat reeds.",
        "mandatory": "Verplicht: {0}",
        "reference": "Ongeldige referentie: {0}",
        "invalid": "Ongeldig: {0}",
        "locked": "Kan niet wijzigen: {0} - Status: {1}",
        "in_use": "Kan niet verwijderen: {0} - Gebruikt in: {1}",
        "unbalanced": "Boeking is niet in evenwicht: {0}",
        "period": "Ongeldig: Periode - {0}",
    },
}
# What members and resources are called in the texts; the English name is the wire name in words.
_DUTCH = {
    "Account": "Relatie", "Accounts": "Relatie", "AmountFC": "Bedrag", "Attachment": "Bijlage",
    "BankAccount": "Bankrekening",
    "BankEntries": "Bankboeking", "BankEntryLines": "Bankregels", "Blocked": "Geblokkeerd", "CashEntries": "Kasboeking",
    "CashEntryLines": "Kasregels", "ClosingBalanceFC": "Eindsaldo", "Code": "Code", "Contact": "Contactpersoon",
    "Contacts": "Contactpersoon", "CostCenter": "Kostenplaats", "CostUnit": "Kostendrager", "Currency": "Valuta",
    "Customer": "Klant", "Date": "Datum", "DeliverTo": "Leveren aan", "Description": "Omschrijving",
    "Document": "Document", "Documents": "Documenten", "EntryDate": "Boekdatum", "FileName": "Bestandsnaam",
    "FirstName": "Voornaam", "GLAccount": "Grootboekrekening", "GLAccounts": "Grootboekrekening",
    "GeneralJournalEntries": "Memoriaalboeking", "GeneralJournalEntryLines": "Memoriaalregels", "HourStatus": "Status",
    "InvoiceTo": "Factureren aan", "Item": "Artikel", "ItemGroup": "Artikelgroep", "Items": "Artikel",
    "Journal": "Dagboek", "JournalCode": "Dagboek", "LastName": "Achternaam", "Name": "Naam",
    "OrderedBy": "Besteld door", "PaymentCondition": "Betalingsconditie", "Project": "Project", "Projects": "Project",
    "PurchaseEntries": "Inkoopboeking", "PurchaseEntryLines": "Inkoopregels", "PurchaseInvoices": "Inkoopfactuur",
    "PurchaseOrders": "Inkooporder", "Quantity": "Aantal", "Quotations": "Offerte", "SalesEntries": "Verkoopboeking",
    "SalesEntryLines": "Verkoopregels", "SalesInvoiceLines": "Factuurregels", "SalesInvoices": "Verkoopfactuur",
    "SalesOrderLines": "Orderregels", "SalesOrders": "Verkooporder", "Subject": "Onderwerp", "Supplier": "Leverancier",
    "TimeTransactions": "Urenboeking", "TransactionLines": "Boekingen", "Type": "Type", "Unit": "Eenheid",
    "VATCode": "Btw-code", "Warehouse": "Magazijn", "Processed": "Verwerkt", "Complete": "Compleet", "Paid": "Betaald",
    "Accepted": "Geaccepteerd", "Final": "Definitief", "Matched": "Afgeletterd",
}  # fmt: skip


def label(name: str, language: str) -> str:
    """What a member, a resource or a status is called in front of the user."""
    if language == "nl" and name in _DUTCH:
        return _DUTCH[name]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).split()
    return " ".join([words[0], *(word if word.isupper() else word.lower() for word in words[1:])])


@dataclass(slots=True)
class Complaints:
    """What is wrong with one request; all of it is told at once."""

    language: str = "en"
    texts: list[str] = field(default_factory=list)

    def add(self, kind: Kind, *names: str) -> None:
        """``names`` are wire names of members, resources or statuses."""
        texts = _TEXTS.get(self.language, _TEXTS["en"])
        text = texts[kind].format(*(label(name, self.language) for name in names))
        if text not in self.texts:
            self.texts.append(text)

    def tell(self) -> None:
        """Refuse the request when something is wrong with it."""
        if self.texts:
            raise Refusal(500, "\r\n".join(self.texts))

    def refuse(self, kind: Kind, *names: str) -> Refusal:
        """This complaint with those before it, to be raised."""
        self.add(kind, *names)
        return Refusal(500, "\r\n".join(self.texts))

    def refuse_amount(self, kind: Kind, amount: str) -> Refusal:
        """A complaint about a value, not a name."""
        self.texts.append(_TEXTS.get(self.language, _TEXTS["en"])[kind].format(amount))
        return Refusal(500, "\r\n".join(self.texts))


def thing(resource: str, language: str) -> str:
    """One of a resource: ``SalesInvoices`` is a sales invoice."""
    return label(resource, language) if language == "nl" else label(singular(resource), language)
