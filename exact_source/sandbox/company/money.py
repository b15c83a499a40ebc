"""Exact money: whole cents inside, two decimals on the wire; rounding is half away from zero."""

from __future__ import annotations


def half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded to a whole number, halves away from zero."""
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    return sign * ((2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator)))


def euros(cents: int) -> float:
    """Cents as the nearest double with two decimals; never a negative zero."""
    return cents / 100


def cents(amount: float) -> int:
    """Euros read back from the wire as whole cents."""
    return round(amount * 100)


def line_amount(quantity: int, price: int, discount: int = 0) -> int:
    """Cents for a quantity in thousandths, a price in ten-thousandths of a euro and a discount in hundredths of 1 %."""
    return half_up(quantity * price * (10_000 - discount), 1_000 * 100 * 10_000)


def vat_amount(base: int, rate: int) -> int:
    """VAT in cents over a base in cents; the rate is in hundredths of a percent (2100 is 21 %)."""
    return half_up(base * rate, 10_000)
