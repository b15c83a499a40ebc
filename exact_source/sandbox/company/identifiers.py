"""Identifiers that look and check like real ones: keys, padded codes, IBANs, VAT and chamber of commerce numbers.

Keys are derived from names, so that the same seed always gives the same keys and a key can be found again by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import Random

_LARGEST_GAP = 8


class Names:
    """Keys of one division, made from the seed and the name of the thing."""

    __slots__ = ("_prefix",)

    def __init__(self, seed: int, division: int) -> None:
        self._prefix = f"{seed}/{division}/"

    def of(self, *parts: object) -> str:
        """A lower-case GUID."""
        text = self._prefix + "/".join(map(str, parts))
        digest = blake2b(text.encode(), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"

    def number(self, *parts: object) -> int:
        """A positive 48-bit number, for keys of type Int64."""
        text = self._prefix + "/".join(map(str, parts))
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") + 1

    def dice(self, *parts: object) -> Random:
        """A random source of its own for everything with this name."""
        return Random(self._prefix + "/".join(map(str, parts)))  # noqa: S311


def last_number(exists: Callable[[int], bool]) -> int:
    """The highest number in use, 0 when there is none; deleted numbers may leave gaps shorter than eight."""

    def near(number: int) -> bool:
        return any(exists(number + step) for step in range(_LARGEST_GAP))

    if not near(1):
        return 0
    low, high = 1, 2
    while near(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if near(middle) else (low, middle)
    return max(number for number in range(low, low + _LARGEST_GAP) if exists(number))


def account_code(number: int, digits: int) -> str:
    """Relation codes are 18 wide with leading spaces (§4.7)."""
    return f"{number:0{digits}d}".rjust(18)


def number_in(code: str) -> int:
    """The number that the digits of a code make, 0 without digits."""
    return int("".join(digit for digit in code if digit in "0123456789") or 0)


def three(code: str) -> str:
    """VAT codes and countries are 3 wide with trailing spaces (§4.7)."""
    return code.ljust(3)


def _mod97(text: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in text)) % 97


def _luhn(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _digits(dice: Random, count: int) -> str:
    return "".join(str(dice.randrange(10)) for _ in range(count))


def iban(country: str, account: str) -> str:
    """The IBAN of a national account number, with its check digits."""
    return f"{country}{98 - _mod97(account + country + '00'):02d}{account}"


def random_iban(dice: Random, country: str) -> tuple[str, str]:
    """A valid IBAN and the BIC of its bank."""
    if country == "BE":
        bank, bic = dice.choice((("001", "GEBABEBB"), ("320", "BBRUBEBB"), ("733", "KREDBEBB"), ("063", "GKCCBEBB")))
        account = bank + _digits(dice, 7)
        return iban("BE", f"{account}{int(account) % 97 or 97:02d}"), bic
    if country == "FR":
        bank, bic = dice.choice((("30004", "BNPAFRPP"), ("30003", "SOGEFRPP"), ("30002", "CRLYFRPP")))
        branch, account = _digits(dice, 5), _digits(dice, 11)
        check = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(account)) % 97
        return iban("FR", f"{bank}{branch}{account}{check:02d}"), bic
    if country == "DE":
        return iban("DE", "50070010" + _digits(dice, 10)), "DEUTDEFF"
    bank, bic = dice.choice((("INGB", "INGBNL2A"), ("RABO", "RABONL2U"), ("ABNA", "ABNANL2A"), ("TRIO", "TRIONL2U")))
    return iban("NL", f"{bank}0{_digits(dice, 9)}"), bic


def _dutch_number(dice: Random) -> str:
    """Nine digits that pass the eleven test."""
    while True:
        digits = str(dice.randrange(10_000_000, 89_999_999))
        check = sum(int(digit) * weight for digit, weight in zip(digits, range(9, 1, -1), strict=True)) % 11
        if check < 10:
            return f"{digits}{check}"


def registration(dice: Random, country: str) -> tuple[str, str]:
    """A VAT number and a chamber of commerce number that belong together."""
    if country == "BE":
        digits = f"0{dice.randrange(4_000_000, 7_999_999)}"
        number = f"{digits}{97 - int(digits) % 97:02d}"
        return f"BE{number}", number
    if country == "FR":
        head = str(dice.randrange(31_000_000, 89_999_999))
        siren = head + _luhn(head)
        site = siren + "0001"
        return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}", site + _luhn(site)
    if country == "DE":
        return f"DE{_digits(dice, 9)}", f"HRB {dice.randrange(1_000, 99_999)}"
    return f"NL{_dutch_number(dice)}B01", str(dice.randrange(10_000_000, 89_999_999))
