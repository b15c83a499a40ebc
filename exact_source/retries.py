"""Whether and when to try a failed GET again. Values in, decisions out; no I/O.

Only what may pass by itself is repeated: resets, time-outs, generic 500s, maintenance and answers cut short (§5, B16).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from exact_source.errors import ExactError, Retryable, Unreadable

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often one request is tried, and how the waits grow (seconds, doubling, with jitter)."""

    attempts: int = 5
    first_wait: float = FIRST_WAIT
    unreadable_attempts: int = 3

    def wait_after(self, error: ExactError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or None to give up. ``attempt`` counts from 1."""
        if isinstance(error, Unreadable):
            allowed = self.unreadable_attempts
        elif isinstance(error, Retryable):
            allowed = self.attempts
        else:
            return None
        if attempt >= allowed:
            return None
        ceiling = min(self.first_wait * 2.0 ** (attempt - 1), LONGEST_WAIT)
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
