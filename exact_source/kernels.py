"""From what Arrow's JSON reader made of one member to the typed column, without a Python value per row. No I/O.

The same rules as ``columns``, whose converters take over where a column holds something unusual: every function here
either gives what they give, or raises one of ``columns.UNFIT``.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from exact_source.catalogue import Field
from exact_source.columns import (
    DAY,
    DECIMAL,
    FIRST_TICK,
    HOUR,
    LAST_TICK,
    UTC_MICROSECONDS,
    Decimals,
    check_years,
    is_padded,
    offset,
)

# Room for the places of any double that arithmetic leaves behind, such as 5.551115123125783E-17.
WIDE = pa.decimal256(76, 33)
# What Arrow 26 reads with too many digits wraps around without an error, but never to less than 5.8e10 at this scale.
_SURE = pa.scalar(Decimal(10**10), WIDE)
# A day before the first moment that databases know, in milliseconds. Counted from here no moment is negative.
ORIGIN = FIRST_TICK - DAY
# Scalars are made once, with their type: without one pyarrow looks for numpy each time.
_ORIGIN, _DAY, _HOUR, _THOUSAND = (pa.scalar(number, pa.int64()) for number in (ORIGIN, DAY, HOUR, 1_000))
_FIRST_DAY = pa.scalar(ORIGIN // DAY, pa.int64())
_WHOLE = r"^-?(?:0|[1-9][0-9]{0,18})$"
_NUMBERS = ("Edm.Int32", "Edm.Int16", "Edm.Byte")


def wire_type(field: Field, decimals: Decimals) -> pa.DataType:
    """How the JSON reader is to take a member: numbers as they are written, 64-bit ones and dates as text."""
    if field.edm == "Edm.Double":
        return WIDE if decimals == "exact" else pa.float64()
    if field.edm == "Edm.Boolean":
        return pa.bool_()
    return pa.int64() if field.edm in _NUMBERS else pa.string()


def typed(field: Field, wire: pa.Array) -> pa.Array:
    """The typed column of a member. Raises one of ``columns.UNFIT`` for what needs a closer look."""
    if field.edm == "Edm.DateTime":
        return _instants(ticks(wire)) if field.instant else _dates(ticks(wire))
    if field.edm == "Edm.Double":
        return _decimals(wire) if wire.type == WIDE else _doubles(wire)
    if field.edm == "Edm.Int64":
        return _whole(wire)
    if field.edm == "Edm.String" and is_padded(field):
        return pc.ascii_trim(wire, " ")
    if field.edm == "Edm.Binary":
        raise ValueError("base64 is left to Python")
    return wire


def ticks(wire: pa.Array) -> pa.Array:
    """Milliseconds of ``/Date(1782404052403)/``, within a day of the years that databases know."""
    if not _all(pc.starts_with(wire, "/Date(")) or not _all(pc.ends_with(wire, ")/")):
        raise ValueError("not in the usual form of a date")
    digits = pc.utf8_slice_codeunits(wire, 6, -2)
    if pc.any(pc.match_substring(digits, "x")).as_py():
        raise ValueError("Arrow would read it as hexadecimal")
    found = digits.cast(pa.int64())
    span = pc.min_max(found).as_py()
    if span["min"] is not None and not ORIGIN <= span["min"] <= span["max"] <= LAST_TICK:
        raise ValueError("outside the years 1 to 9999")
    return found


def _all(truths: pa.Array) -> bool:
    """True when nothing is false; null is neither."""
    return bool(pc.all(truths, min_count=0).as_py())


def _dates(found: pa.Array) -> pa.Array:
    days = pc.add(pc.divide(pc.subtract(found, _ORIGIN), _DAY), _FIRST_DAY)
    check_years(days, DAY)
    return days.cast(pa.int32()).view(pa.date32())


def _instants(found: pa.Array) -> pa.Array:
    hours = pc.divide(pc.subtract(found, _ORIGIN), _HOUR).dictionary_encode()
    offsets = [None if hour is None else offset(hour + ORIGIN // HOUR) for hour in hours.dictionary.to_pylist()]
    stamps = pc.subtract(found, pc.take(pa.array(offsets, pa.int64()), hours.indices))
    check_years(stamps, 1)
    return pc.multiply(stamps, _THOUSAND).view(UTC_MICROSECONDS)


def _decimals(wire: pa.Array) -> pa.Array:
    """Nine places, half to even where there are more."""
    if not _all(pc.less(pc.abs(wire), _SURE)):
        raise ValueError("more digits than Arrow is sure of")
    try:
        return wire.cast(DECIMAL)
    except pa.ArrowInvalid:
        return pc.round(wire, DECIMAL.scale, "half_to_even").cast(DECIMAL)


def _doubles(wire: pa.Array) -> pa.Array:
    if not _all(pc.is_finite(wire)):
        raise ValueError("JSON has no such number")
    return wire


def _whole(wire: pa.Array) -> pa.Array:
    if not _all(pc.match_substring_regex(wire, _WHOLE)):
        raise ValueError("not a whole number")
    return wire.cast(pa.int64())
