"""Charts of accounts of the three countries. A role is what the books use an account for; the codes are national."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_PROFIT_AND_LOSS_TYPE = 110
_CREDIT_TYPES = frozenset({22, 24, 25, 27, 29, 35, 50, 52, 55, 60, 100, 110, 140})
_TYPE_NAMES = {
    10: "Kas", 12: "Bank", 20: "Debiteuren", 22: "Crediteuren", 24: "Btw", 25: "Te betalen lonen", 27: "Overlopend",
    29: "Te betalen winstbelasting",
    30: "Vaste activa", 32: "Overige activa", 35: "Cumulatieve afschrijvingen", 40: "Voorraad", 50: "Kapitaal",
    52: "Ingehouden winst", 55: "Langlopende schulden", 60: "Kortlopende schulden", 90: "Algemeen", 100: "Belasting",
    110: "Omzet", 111: "Kostprijs van de omzet", 120: "Overige kosten", 121: "Verkoop- en algemene kosten",
    122: "Afschrijvingskosten", 125: "Personeelskosten", 126: "Sociale lasten", 160: "Rente",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One account of a chart. ``kind`` is Exact's GLAccounts.Type."""

    role: str
    code: str
    description: str
    kind: int

    @property
    def is_balance(self) -> bool:
        return self.kind < _FIRST_PROFIT_AND_LOSS_TYPE

    @property
    def side(self) -> str:
        return "C" if self.kind in _CREDIT_TYPES else "D"

    @property
    def kind_name(self) -> str:
        return _TYPE_NAMES[self.kind]


_KINDS = {
    "goodwill": 30, "machines": 30, "vehicles": 30, "depreciated": 35, "deposit": 32, "stock": 40, "receivable": 20,
    "bank": 12, "savings": 12, "cash": 10, "transit": 90, "suspense": 90, "payable": 22, "accrued": 27,
    "net_wages": 25, "wage_tax": 100, "vat_high": 24, "vat_middle": 24, "vat_low": 24, "vat_claim": 24,
    "vat_settlement": 24, "profit_tax": 29, "loan": 55, "current_debt": 60, "capital": 50, "retained": 52,
    "revenue_1": 110, "revenue_2": 110, "revenue_3": 110, "revenue_abroad": 110, "discounts": 110,
    "cost_1": 111, "cost_2": 111, "cost_3": 111, "wages": 125, "social": 126, "training": 125, "rent": 121,
    "energy": 121, "cleaning": 121, "car": 121, "phone": 121, "office": 121, "software": 121, "marketing": 121,
    "travel": 121, "insurance": 121, "advisers": 121, "bank_charges": 121, "depreciation": 122, "interest": 160,
    "differences": 120,
}  # fmt: skip

_DUTCH = """
goodwill 0010 Goodwill
machines 0100 Machines en installaties
vehicles 0130 Vervoermiddelen
depreciated 0190 Cumulatieve afschrijving machines
deposit 0300 Waarborgsommen
capital 0500 Aandelenkapitaal
retained 0510 Overige reserves
loan 0700 Lening bank
cash 1000 Kas
bank 1100 Rekening-courant bank
savings 1110 Spaarrekening
transit 1200 Kruisposten
suspense 1290 Vraagposten
receivable 1300 Debiteuren
vat_high 1500 Af te dragen btw hoog
vat_low 1501 Af te dragen btw laag
vat_middle 1503 Af te dragen btw overig
vat_claim 1520 Te vorderen btw
vat_settlement 1530 Rekening-courant btw
payable 1600 Crediteuren
accrued 1610 Nog te betalen kosten
net_wages 1700 Te betalen nettolonen
wage_tax 1710 Af te dragen loonheffing
profit_tax 1720 Te betalen vennootschapsbelasting
current_debt 1800 Kortlopend deel lening
stock 3000 Voorraad handelsgoederen
wages 4000 Lonen en salarissen
social 4010 Sociale lasten
training 4050 Opleidingskosten
rent 4100 Huur bedrijfspand
energy 4110 Gas, water en elektra
cleaning 4120 Schoonmaakkosten
car 4200 Brandstof en onderhoud auto's
phone 4300 Telefoon en internet
office 4310 Kantoorbenodigdheden
software 4320 Software en licenties
marketing 4400 Reclame en advertenties
travel 4410 Reis- en verblijfkosten
insurance 4500 Verzekeringen
advisers 4510 Accountants- en advieskosten
bank_charges 4600 Bankkosten
depreciation 4700 Afschrijving machines
interest 4800 Rente lening
differences 4900 Betalingsverschillen
cost_1 7000 Kostprijs gereedschap
cost_2 7010 Kostprijs koffie en thee
cost_3 7020 Kostprijs diensten
revenue_1 8000 Omzet gereedschap
revenue_2 8010 Omzet koffie en thee
revenue_3 8020 Omzet diensten
revenue_abroad 8100 Omzet binnen de EU
discounts 8900 Verleende kortingen
"""
_BELGIAN = """
capital 100000 Geplaatst kapitaal
retained 133000 Beschikbare reserves
loan 173000 Kredietinstellingen
goodwill 212000 Goodwill
machines 230000 Installaties, machines en uitrusting
vehicles 241000 Rollend materieel
depreciated 230009 Geboekte afschrijvingen machines
deposit 288000 Borgtochten betaald in contanten
stock 340000 Handelsgoederen
receivable 400000 Handelsdebiteuren
vat_claim 411000 Terug te vorderen btw
current_debt 423000 Schulden op meer dan een jaar die vervallen
payable 440000 Leveranciers
accrued 444000 Te ontvangen facturen
profit_tax 450000 Geraamde belastingen
vat_high 451000 Te betalen btw 21 %
vat_middle 451120 Te betalen btw 12 %
vat_low 451060 Te betalen btw 6 %
vat_settlement 451900 Rekening-courant btw
wage_tax 453000 Ingehouden bedrijfsvoorheffing en RSZ
net_wages 455000 Bezoldigingen
suspense 499000 Wachtrekening
bank 550000 Kredietinstelling rekening-courant
savings 530000 Termijndeposito's
cash 570000 Kas
transit 580000 Interne overboekingen
cost_1 604000 Aankopen horecamateriaal
cost_2 604100 Aankopen dranken en voeding
cost_3 604200 Aankopen diensten
rent 610000 Huur gebouwen
cleaning 611000 Onderhoud en schoonmaak
energy 612000 Water, gas en elektriciteit
phone 612200 Telefoon en internet
office 612300 Kantoorbenodigdheden
software 612400 Informaticakosten
advisers 613200 Erelonen
insurance 613300 Verzekeringen
car 613500 Kosten wagens
travel 613600 Reis- en verblijfkosten
marketing 614000 Publiciteit
wages 620200 Bezoldigingen bedienden
social 621000 Patronale bijdragen
training 623000 Opleiding
depreciation 630200 Afschrijvingen materieel
interest 650000 Rente van schulden
bank_charges 657000 Bankkosten
differences 658000 Betalingsverschillen
revenue_1 700000 Verkopen horecamateriaal
revenue_2 700100 Verkopen dranken en voeding
revenue_3 705000 Dienstprestaties
revenue_abroad 700400 Verkopen binnen de EU
discounts 708000 Toegekende kortingen
"""
_FRENCH = """
capital 101000 Capital social
retained 110000 Report à nouveau
loan 164000 Emprunts auprès des établissements de crédit
goodwill 207000 Fonds commercial
machines 215400 Matériel industriel
vehicles 218200 Matériel de transport
deposit 275000 Dépôts et cautionnements versés
depreciated 281540 Amortissements du matériel
stock 370000 Stocks de marchandises
payable 401000 Fournisseurs
accrued 408100 Fournisseurs, factures non parvenues
receivable 411000 Clients
net_wages 421000 Personnel, rémunérations dues
wage_tax 431000 Sécurité sociale
profit_tax 444000 État, impôts sur les bénéfices
vat_settlement 445510 TVA à décaisser
vat_claim 445660 TVA déductible sur autres biens et services
vat_high 445710 TVA collectée 20 %
vat_middle 445711 TVA collectée 10 %
vat_low 445712 TVA collectée 5,5 %
suspense 471000 Compte d'attente
bank 512000 Banque
savings 508000 Compte sur livret
current_debt 519000 Concours bancaires courants
cash 530000 Caisse
transit 580000 Virements internes
cost_1 607000 Achats de luminaires
cost_2 607100 Achats de livres et cafés
cost_3 604000 Achats de prestations de services
energy 606100 Eau, gaz, électricité
office 606400 Fournitures administratives
rent 613200 Locations immobilières
cleaning 615200 Entretien des locaux
software 615600 Maintenance et logiciels
insurance 616100 Primes d'assurance
advisers 622600 Honoraires
marketing 623100 Annonces et insertions
travel 625100 Voyages et déplacements
car 625200 Carburant et véhicules
phone 626200 Télécommunications
bank_charges 627000 Services bancaires
wages 641100 Salaires
social 645100 Cotisations à l'URSSAF
training 631300 Formation professionnelle
differences 658000 Écarts de règlement
interest 661100 Intérêts des emprunts
depreciation 681120 Dotations aux amortissements
revenue_1 707000 Ventes de luminaires
revenue_2 707100 Ventes de livres et cafés
revenue_3 706000 Prestations de services
revenue_abroad 707900 Ventes intracommunautaires
discounts 709700 Rabais, remises et ristournes accordés
"""


def _chart(text: str) -> tuple[ChartLine, ...]:
    lines = (line.split(" ", 2) for line in text.strip().splitlines())
    return tuple(ChartLine(role, code, description, _KINDS[role]) for role, code, description in lines)


CHARTS = {"NL": _chart(_DUTCH), "BE": _chart(_BELGIAN), "FR": _chart(_FRENCH)}

CLASSIFICATIONS = {
    "NL": (
        ("BMva", "Materiële vaste activa"), ("BVrd", "Voorraden"), ("BVor", "Vorderingen"),
        ("BLim", "Liquide middelen"),
        ("BEiv", "Groepsvermogen"), ("BSch", "Kortlopende schulden"), ("WOmz", "Netto-omzet"),
        ("WKpr", "Kostprijs van de omzet"), ("WPer", "Lasten uit hoofde van personeelsbeloningen"),
        ("WAfs", "Afschrijvingen"), ("WBed", "Overige bedrijfskosten"), ("WFbe", "Financiële baten en lasten"),
    ),
    "BE": (
        ("1", "Eigen vermogen, voorzieningen en schulden op meer dan een jaar"),
        ("2", "Oprichtingskosten en vaste activa"),
        ("3", "Voorraden"), ("4", "Vorderingen en schulden op ten hoogste een jaar"),
        ("5", "Geldbeleggingen en liquide middelen"), ("6", "Kosten"), ("7", "Opbrengsten"),
    ),
    "FR": (
        ("1", "Comptes de capitaux"), ("2", "Comptes d'immobilisations"), ("3", "Comptes de stocks et en-cours"),
        ("4", "Comptes de tiers"), ("5", "Comptes financiers"), ("6", "Comptes de charges"),
        ("7", "Comptes de produits"),
    ),
}  # fmt: skip
