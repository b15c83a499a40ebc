"""How strict and how kind the sandbox is; every default is what Exact is known to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """Durations are seconds unless named otherwise. ``page_sizes`` overrides paths (``salesinvoice/SalesInvoices``).

    ``body_limit`` is in bytes, 0: none. ``language`` is the user's, and that of business errors, such as ``nl-NL``;
    empty: ``en-GB``.
    """

    access_lifetime: int = 600
    refresh_threshold: int = 570
    refresh_lifetime_days: int = 30
    code_lifetime: int = 180
    token_calls: int = 200
    rotation: bool = True
    early_refresh_consumes: bool = False
    minutely_limit: int = 60
    daily_limit: int = 5000
    error_limit: int = 10
    page_size_single: int = 60
    page_size_bulk: int = 1000
    page_sizes: Mapping[str, int] = field(default_factory=dict)
    mandatory_filtering: bool = False
    demand_select: bool = True
    auto_consent: bool = False
    nightly_window: bool = False
    stamp: str = "NL001"
    body_limit: int = 10_000_000
    language: str = ""
