"""The accountant's group: which divisions there are, and how each gets its past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from exact_source.clock import Clock
from exact_source.sandbox.company.countries import COUNTRIES
from exact_source.sandbox.company.history import History, Size
from exact_source.sandbox.company.identifiers import Names
from exact_source.sandbox.company.masters import archive_day, division_row
from exact_source.sandbox.company.moments import month_start, wall_clock
from exact_source.sandbox.company.office import Numbers, Office
from exact_source.sandbox.company.store import Records, Row, Writer

DUTCH, BELGIAN, FRENCH, ARCHIVED, NOT_CONSENTED = 1824501, 1824502, 1824503, 1610877, 1901266
ACTIVE = (DUTCH, BELGIAN, FRENCH)
_MONTHS_OF_HISTORY = 26
_COUNTRY = {DUTCH: "NL", BELGIAN: "BE", FRENCH: "FR", ARCHIVED: "NL", NOT_CONSENTED: "NL"}
_SHARES = {DUTCH: 0.45, BELGIAN: 0.29, FRENCH: 0.23, ARCHIVED: 0.03}
# From here on five digits number the entries of a year.
_MANY_PARTIES = 1_000


@dataclass(frozen=True, slots=True)
class _Scale:
    lines: int
    parties: int
    items: int


SCALES = {
    "small": _Scale(5_000, 120, 120),
    "medium": _Scale(100_000, 1_500, 900),
    "large": _Scale(2_000_000, 15_000, 4_500),
}


def divisions(seed: int) -> list[Row]:
    """The rows of system/Divisions. The last one exists, but the consent does not include it (``NOT_CONSENTED``)."""
    return [
        division_row(
            seed, Code=DUTCH, Description="Van Beek Gereedschap & Koffie B.V.", Country="NL", Hid=1, Status=1,
            AddressLine1="Nijverheidsweg 14", Postcode="3812 PM", City="Amersfoort", Phone="+31 33 455 01 20",
            Email="administratie@vanbeek.example.nl", IsMainDivision=True, Current=True,
            Website="https://www.vanbeek.example.nl",
        ),
        division_row(
            seed, Code=BELGIAN, Description="Dewulf Horeca BV", Country="BE", Hid=2, Status=1,
            AddressLine1="Gentsesteenweg 231", Postcode="9000", City="Gent", Phone="+32 9 221 33 40",
            Email="boekhouding@dewulf.example.be", Website="https://www.dewulf.example.be",
        ),
        division_row(
            seed, Code=FRENCH, Description="Maison Lumière & Fils SARL", Country="FR", Hid=3, Status=1,
            AddressLine1="27 rue Victor Hugo", Postcode="69002", City="Lyon", Phone="+33 4 72 10 30 30",
            Email="compta@maisonlumiere.example.fr", Website=None,
        ),
        division_row(
            seed, Code=ARCHIVED, Description="Koffiehuis 't Hof V.O.F. (gestopt)", Country="NL", Hid=4, Status=2,
            AddressLine1="Lange Nieuwstraat 8", Postcode="3512 PG", City="Utrecht", ArchiveDate=date(2025, 1, 31),
        ),
        division_row(
            seed, Code=NOT_CONSENTED, Description="Stichting Beheer Van Beek", Country="NL", Hid=5, Status=1,
            AddressLine1="Nijverheidsweg 14", Postcode="3812 PM", City="Amersfoort",
        ),
    ]  # fmt: skip


def found(records: Records, clock: Clock, scale: str, seed: int) -> None:
    """Fill a fresh store with the group and its past. KeyError for an unknown scale."""
    now = wall_clock(clock)
    rows = divisions(seed)
    for row in rows:
        if row["Code"] == ARCHIVED:
            row["ArchiveDate"] = archive_day(now)
    records.insert(0, "system/Divisions", rows)
    wanted = SCALES[scale]
    for division, share in _SHARES.items():
        _found_division(records, now, seed, (division, _size(wanted, division, share)))


def _size(scale: _Scale, division: int, share: float) -> Size:
    is_archived = division == ARCHIVED
    return Size(
        lines=round(scale.lines * share),
        parties=max(round(scale.parties * share), 8),
        items=max(round(scale.items * share), 12),
        drafts=0 if is_archived else 4 + round(scale.parties * share) // 40,
    )


def _found_division(records: Records, now: datetime, seed: int, plan: tuple[int, Size]) -> None:
    division, size = plan
    last = archive_day(now) if division == ARCHIVED else (now - timedelta(days=1)).date()
    first = month_start(now.date(), _MONTHS_OF_HISTORY)
    office = open_office(Writer(records, division), now, seed, size.parties, Numbers(_none_yet))
    History(office, size, first, last).live()


def _none_yet(_series: str, _year: int) -> int:
    return 0


def open_office(writer: Writer, now: datetime, seed: int, parties: int, numbers: Numbers) -> Office:
    """The office of the writer's division, without its relations and items."""
    names = Names(seed, writer.division)
    return Office(
        division=writer.division,
        country=COUNTRIES[_COUNTRY.get(writer.division, "NL")],
        names=names,
        writer=writer,
        numbers=numbers,
        dice=names.dice("history"),
        digits=5 if parties > _MANY_PARTIES else 4,
        moment=now,
    )
