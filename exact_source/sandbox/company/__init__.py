"""A believable company: one accountant's group with Dutch, Belgian and French divisions whose books balance."""

from exact_source.sandbox.company.companies import ARCHIVED, NOT_CONSENTED, SCALES, divisions, found
from exact_source.sandbox.company.days import business_day
from exact_source.sandbox.company.store import Records

__all__ = ["ARCHIVED", "NOT_CONSENTED", "SCALES", "Records", "business_day", "divisions", "found"]
