"""From the values of one member to one Arrow column. No I/O.

Money goes from its text straight to ``decimal(38, 9)``; there is no float in between. Instants are Amsterdam wall clock
and become UTC; dates stay dates; padded codes are trimmed (reference §4.7, §4.8).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from exact_source.catalogue import Field
from exact_source.odata import AMSTERDAM

Decimals: TypeAlias = Literal["exact", "double"]
Column: TypeAlias = Sequence[Any]

DECIMAL = pa.decimal128(38, 9)
QUANTUM = Decimal("0.000000001")
CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1)
FIRST_TICK, LAST_TICK = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999, as databases know them
DAY, HOUR = 86_400_000, 3_600_000  # milliseconds
TICKS = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")
# Members that Exact pads with spaces: codes on the left, country, language, unit and VAT codes on the right.
_PADDED = re.compile(r"(Code|code|Country|Language|Legislation|Nationality|Unit|Currency|PaymentCondition.*|State)$")
# What a converter raises for a value that its column cannot hold.
UNFIT = (pa.ArrowException, ValueError, OverflowError, InvalidOperation)


def converter(field: Field, decimals: Decimals) -> Callable[[Column], pa.Array]:
    if field.edm == "Edm.DateTime":
        return _instants if field.instant else _dates
    if field.edm == "Edm.Double":
        return _decimals if decimals == "exact" else _doubles
    if field.edm == "Edm.Boolean":
        return lambda values: pa.array(values, pa.bool_())
    if field.edm == "Edm.Binary":
        return _binaries
    if field.edm == "Edm.String":
        return _trimmed if is_padded(field) else _texts
    return _texts if field.edm == "Edm.Guid" else lambda values: pa.array(values, pa.int64())


def is_padded(field: Field) -> bool:
    return _PADDED.search(field.name) is not None


def _texts(values: Column) -> pa.Array:
    return pa.array(values, pa.string())


def _trimmed(values: Column) -> pa.Array:
    return pa.array([value.strip(" ") if value else value for value in values], pa.string())


def _binaries(values: Column) -> pa.Array:
    return pa.array([None if value is None else _bytes(value) for value in values], pa.binary())


def _bytes(value: str) -> bytes:
    """Base64 to the letter, but for the line breaks that some writers put in."""
    return base64.b64decode("".join(value.split()), validate=True)


def _decimals(values: Column) -> pa.Array:
    # pyarrow 26 crashes the process on 1E-10000000; no double has an exponent beyond -400.
    if any(value is not None and value.adjusted() < -400 for value in values):
        raise ValueError("too small for a double")
    try:
        return pa.array(values, DECIMAL)
    except pa.ArrowInvalid:
        return pa.array([_nine_places(value) for value in values], DECIMAL)


def _nine_places(value: Decimal | None) -> Decimal | None:
    return value if value is None else value.quantize(QUANTUM, context=CONTEXT)


def _doubles(values: Column) -> pa.Array:
    found = [None if value is None else float(value) for value in values]
    if any(value is not None and not math.isfinite(value) for value in found):
        raise ValueError("no number that JSON has")
    return pa.array(found, pa.float64())


def ticks(value: str) -> int:
    """Milliseconds in ``/Date(1782404052403)/``: Amsterdam wall clock counted as if it were UTC.

    Also takes the ISO form that some members use. Raises ValueError for anything else.
    """
    found = TICKS.fullmatch(value)
    if found:
        return int(found[1])
    naive = datetime.fromisoformat(value)
    return (naive.replace(tzinfo=None) - EPOCH) // timedelta(milliseconds=1)


def _dates(values: Column) -> pa.Array:
    days = [None if value is None else ticks(value) // DAY for value in values]
    check_years(array := pa.array(days, pa.int32()), DAY)
    return array.view(pa.date32())


def _instants(values: Column) -> pa.Array:
    stamps = [None if value is None else (naive := ticks(value)) - offset(naive // HOUR) for value in values]
    check_years(array := pa.array(stamps, pa.int64()), 1)
    return array.view(pa.timestamp("ms")).cast(pa.timestamp("us")).view(UTC_MICROSECONDS)


def check_years(counts: pa.Array, unit: int) -> None:
    """Raises ValueError for a moment outside the years that databases know. ``unit`` is in milliseconds."""
    span = pc.min_max(counts).as_py()
    if span["min"] is not None and not FIRST_TICK <= span["min"] * unit <= span["max"] * unit <= LAST_TICK:
        raise ValueError("outside the years 1 to 9999")


@cache
def offset(hour: int) -> int:
    """Amsterdam's offset (milliseconds) in the hour that starts so many hours after 1970, by its own wall clock."""
    try:
        naive = EPOCH + timedelta(hours=hour)
    except OverflowError:
        return HOUR
    found = naive.replace(tzinfo=AMSTERDAM).utcoffset()
    return round(found / timedelta(milliseconds=1)) if found else 0


def naive_of(value: str) -> datetime:
    """The naive Amsterdam time of a ``/Date(ms)/`` value."""
    return EPOCH + timedelta(milliseconds=ticks(value))


def utc_of(value: str) -> datetime:
    """The UTC moment of a ``/Date(ms)/`` value."""
    return naive_of(value).replace(tzinfo=AMSTERDAM).astimezone(UTC)
