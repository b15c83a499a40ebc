"""What differs by country: VAT, journals, payment conditions, cost centres and the words in the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exact_source.sandbox.company.charts import CHARTS, ChartLine


@dataclass(frozen=True, slots=True)
class Vat:
    """A VAT code. ``rate`` in hundredths of a percent; ``role`` names the ledger account, None where nothing is due."""

    kind: str
    code: str
    rate: int
    description: str
    role: str | None
    is_sales: bool


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal. ``prefix`` are the two digits in its entry numbers; ``kind`` is Exact's Journals.Type."""

    series: str
    code: str
    prefix: int
    kind: int
    description: str
    role: str | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A payment condition."""

    code: str
    description: str
    days: int


@dataclass(frozen=True, slots=True)
class Country:
    """One country's way of keeping books."""

    code: str
    name: str
    language: str
    code_digits: int
    chart: tuple[ChartLine, ...]
    vat: Mapping[str, Vat]
    journals: Mapping[str, Journal]
    conditions: tuple[Condition, ...]
    cost_centers: tuple[tuple[str, str], ...]
    cost_units: tuple[tuple[str, str], ...]
    words: Mapping[str, str]


def _vat(*lines: tuple[str, str, int, str, str | None]) -> dict[str, Vat]:
    return {
        kind: Vat(kind, code, rate, description, role, is_sales=not kind.startswith("buy"))
        for kind, code, rate, description, role in lines
    }


def _journals(*lines: tuple[str, str, int, int, str, str | None]) -> dict[str, Journal]:
    return {line[0]: Journal(*line) for line in lines}


def _words(text: str) -> dict[str, str]:
    pairs = (line.split(" = ", 1) for line in text.strip().splitlines())
    return {key: word for key, word in pairs}  # noqa: C416


NETHERLANDS = Country(
    code="NL", name="Nederland", language="NL", code_digits=1, chart=CHARTS["NL"],
    vat=_vat(
        ("none", "0", 0, "Geen btw", None),
        ("low", "1", 900, "Btw laag tarief 9 %, exclusief", "vat_low"),
        ("high", "2", 2100, "Btw hoog tarief 21 %, exclusief", "vat_high"),
        ("abroad", "6", 0, "Intracommunautaire levering", None),
        ("buy_low", "41", 900, "Inkoop btw laag 9 %", "vat_claim"),
        ("buy_high", "42", 2100, "Inkoop btw hoog 21 %", "vat_claim"),
        ("buy_none", "40", 0, "Inkoop zonder btw", None),
    ),
    journals=_journals(
        ("sales", "70", 70, 20, "Verkoopboek", "receivable"), ("purchase", "60", 60, 22, "Inkoopboek", "payable"),
        ("bank", "20", 20, 12, "Bank", "bank"), ("cash", "10", 10, 10, "Kas", "cash"),
        ("general", "90", 90, 90, "Memoriaal", None),
    ),
    conditions=(
        Condition("30", "30 dagen netto", 30), Condition("14", "14 dagen netto", 14),
        Condition("00", "Contant", 0), Condition("60", "60 dagen netto", 60),
    ),
    cost_centers=(("010", "Verkoop"), ("020", "Magazijn"), ("030", "Kantoor"), ("040", "Buitendienst")),
    cost_units=(("A", "Winkel"), ("B", "Webwinkel"), ("C", "Groothandel")),
    words=_words("""
opening = Beginbalans
sale = Verkoopfactuur
credit = Creditnota
purchase = Inkoopfactuur
statement = Bankafschrift
receipt = Ontvangst factuur
payment = Betaling factuur
wages = Loonjournaalpost
net_wages = Salarissen
wage_tax = Loonheffing
rent = Huur bedrijfspand
depreciation = Afschrijving
cost = Kostprijs verkopen
vat_return = Aangifte btw
bank_charges = Bankkosten
order = Uw bestelling
quotation = Offerte
delivery = Pakbon
subscription = Onderhoudscontract
project = Inrichting
hours = Overleg en montage op locatie
travel = Kilometers
note = Graag aan de achterzijde leveren.\\nBellen bij aankomst.
"""),
)  # fmt: skip

BELGIUM = Country(
    code="BE", name="België", language="NL", code_digits=1, chart=CHARTS["BE"],
    vat=_vat(
        ("none", "0", 0, "Geen btw", None),
        ("low", "06V", 600, "Verkopen 6 %", "vat_low"),
        ("middle", "12V", 1200, "Verkopen 12 %", "vat_middle"),
        ("high", "21V", 2100, "Verkopen 21 %", "vat_high"),
        ("abroad", "ICV", 0, "Intracommunautaire verkopen", None),
        ("buy_low", "06A", 600, "Aankopen 6 %", "vat_claim"),
        ("buy_high", "21A", 2100, "Aankopen 21 %", "vat_claim"),
        ("buy_none", "00A", 0, "Aankopen zonder btw", None),
    ),
    journals=_journals(
        ("sales", "70", 70, 20, "Verkopen", "receivable"), ("purchase", "60", 60, 22, "Aankopen", "payable"),
        ("bank", "20", 20, 12, "Bank KBC", "bank"), ("cash", "10", 10, 10, "Kas", "cash"),
        ("general", "90", 90, 90, "Diverse verrichtingen", None),
    ),
    conditions=(
        Condition("30", "30 dagen factuurdatum", 30), Condition("15", "15 dagen factuurdatum", 15),
        Condition("00", "Contant", 0), Condition("60", "60 dagen factuurdatum", 60),
    ),
    cost_centers=(("001", "Toonzaal"), ("002", "Depot"), ("003", "Administratie")),
    cost_units=(("HO", "Horeca"), ("GR", "Grootkeukens")),
    words=_words("""
opening = Beginbalans
sale = Verkoopfactuur
credit = Creditnota
purchase = Aankoopfactuur
statement = Rekeninguittreksel
receipt = Ontvangst factuur
payment = Betaling factuur
wages = Loonboeking
net_wages = Nettolonen
wage_tax = Bedrijfsvoorheffing en RSZ
rent = Huur toonzaal
depreciation = Afschrijving
cost = Voorraadwijziging verkopen
vat_return = Btw-aangifte
bank_charges = Bankkosten
order = Uw bestelling
quotation = Prijsofferte
delivery = Leveringsbon
subscription = Onderhoudsabonnement
project = Keukeninrichting
hours = Plaatsing en opleiding
travel = Verplaatsing
note = Leveren vóór 11 uur.\\nAchteringang gebruiken.
"""),
)  # fmt: skip

FRANCE = Country(
    code="FR", name="France", language="FR", code_digits=7, chart=CHARTS["FR"],
    vat=_vat(
        ("none", "0", 0, "Sans TVA", None),
        ("low", "VR", 550, "Ventes taux réduit 5,5 %", "vat_low"),
        ("middle", "VI", 1000, "Ventes taux intermédiaire 10 %", "vat_middle"),
        ("high", "VN", 2000, "Ventes taux normal 20 %", "vat_high"),
        ("abroad", "VE", 0, "Livraison intracommunautaire", None),
        ("buy_low", "AR", 550, "Achats taux réduit 5,5 %", "vat_claim"),
        ("buy_high", "AN", 2000, "Achats taux normal 20 %", "vat_claim"),
        ("buy_none", "A0", 0, "Achats sans TVA", None),
    ),
    journals=_journals(
        ("sales", "VE", 70, 20, "Journal des ventes", "receivable"),
        ("purchase", "AC", 60, 22, "Journal des achats", "payable"),
        ("bank", "BQ", 20, 12, "Banque", "bank"), ("cash", "CA", 10, 10, "Caisse", "cash"),
        ("general", "OD", 90, 90, "Opérations diverses", None),
    ),
    conditions=(
        Condition("30", "30 jours nets", 30), Condition("45", "45 jours nets", 45),
        Condition("00", "Comptant", 0), Condition("60", "60 jours nets", 60),
    ),
    cost_centers=(("01", "Boutique"), ("02", "Entrepôt"), ("03", "Siège")),
    cost_units=(("DET", "Détail"), ("GRO", "Gros")),
    words=_words("""
opening = À-nouveaux
sale = Facture de vente
credit = Avoir
purchase = Facture d'achat
statement = Relevé bancaire
receipt = Règlement facture
payment = Paiement facture
wages = Écriture de paie
net_wages = Salaires nets
wage_tax = Cotisations sociales
rent = Loyer de l'entrepôt
depreciation = Dotation aux amortissements
cost = Variation de stock
vat_return = Déclaration de TVA
bank_charges = Frais bancaires
order = Votre commande
quotation = Devis
delivery = Bon de livraison
subscription = Contrat d'entretien
project = Aménagement
hours = Étude d'éclairage
travel = Déplacement
note = Livrer côté cour.\\nDemander l'accueil.
"""),
)  # fmt: skip

COUNTRIES = {country.code: country for country in (NETHERLANDS, BELGIUM, FRANCE)}
COUNTRY_NAMES = {"NL": "Nederland", "BE": "België", "FR": "France", "DE": "Duitsland"}
