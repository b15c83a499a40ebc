"""Every error a user can meet, drawn as a tree: root, consequence (what the caller must do), cause.

ExactError
├── ConfigurationError      mend the settings                                    exit 2
│   └── UnknownName, SchemaFrozen, InvalidInput
├── ReconnectRequired       run ``exact-source connect``                         exit 3
│   ├── NeverConnected, TokenRotatedElsewhere, TokenExpired, ConsentWithdrawn, RotationInterrupted
├── Retryable               try again later                                      exit 4
│   ├── Unreachable, ServerFault, Maintenance, Busy
├── Undecided               a write whose outcome is unknown; look before it is repeated  exit 4
├── Paused                  wait for the quota, then run again                   exit 5
│   ├── DayQuotaSpent, CallBudgetSpent, EndpointBlocked
├── Rejected                Exact refused the request; repeating will not help   exit 6
│   ├── Forbidden, NotFound, BadQuery, BusinessRule, Conflict
├── Unreadable              the answer could not be understood; nothing was lost exit 7
└── Suspect                 the answer contradicts what was known; nothing was removed exit 8
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class ExactError(Exception):
    """Root of all errors of this package. The message says what happened and what to do next."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(ExactError):
    """A setting is missing or wrong; the message names it and the cure."""

    exit_code = 2


class UnknownName(ConfigurationError):
    """An entity, region, connection or division that does not exist."""


class SchemaFrozen(ConfigurationError):
    """A table would change, which its schema contract does not allow."""


class InvalidInput(ConfigurationError):
    """What an action was given does not fit; the message names the field. Nothing was sent."""


class ReconnectRequired(ExactError):
    """A person has to give consent again."""

    exit_code = 3


class NeverConnected(ReconnectRequired):
    """There is no token for this connection yet."""


class TokenRotatedElsewhere(ReconnectRequired):
    """Somebody else used our refresh token: another environment shares the connection."""


class TokenExpired(ReconnectRequired):
    """The refresh token was not used for 30 days (§2.3)."""


class ConsentWithdrawn(ReconnectRequired):
    """The user withdrew consent, or the code or token is no longer known to Exact."""


class RotationInterrupted(ReconnectRequired):
    """A refresh was sent and its answer never reached the disk; the old token turned out to be spent."""


class Retryable(ExactError):
    """A passing fault that outlasted its retries."""

    exit_code = 4


class Unreachable(Retryable):
    """No connection, a reset or a time-out."""


class ServerFault(Retryable):
    """A generic fault on Exact's side (§5)."""


class Maintenance(Retryable):
    """Exact answers with a maintenance page or not at all (§12.20)."""


class Busy(Retryable):
    """Another process holds what this one needs."""


class Undecided(ExactError):
    """A write was sent and nobody knows whether Exact carried it out. It is never repeated before it is looked up."""

    exit_code = 4


class Paused(ExactError):
    """A quota or breaker says stop; the next run goes on from here. ``until``: the moment it may, if known."""

    exit_code = 5

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class DayQuotaSpent(Paused):
    """The division's calls of this UTC day are used up (§3.1)."""


class CallBudgetSpent(Paused):
    """The run's own limit on calls is reached."""


class EndpointBlocked(Paused):
    """Too many client errors on one endpoint; calling on would lengthen Exact's block (§3.4)."""


class Rejected(ExactError):
    """Exact understood the request and refused it.

    ``told`` holds its words as they came, ``fields`` the fields that they name, in the language of the user.
    """

    exit_code = 6

    def __init__(self, message: str, *, told: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.told = told
        self.fields = fields


class Forbidden(Rejected):
    """403: no right, no scope, a blocked user or a division outside the consent.

    ``is_division_wide`` says that no other endpoint of this division will answer either.
    """

    def __init__(self, message: str, *, told: str = "", is_division_wide: bool = False) -> None:
        super().__init__(message, told=told)
        self.is_division_wide = is_division_wide


class NotFound(Rejected):
    """404: no such path or key."""


class BadQuery(Rejected):
    """400: the query or body is not valid for this endpoint."""


class BusinessRule(Rejected):
    """500 with a text: a rule of the books refuses this (§5)."""


class Conflict(Rejected):
    """The row was changed in Exact since it was read, or its write is already there with another content."""


class Unreadable(ExactError):
    """The answer is not what the reference promises."""

    exit_code = 7


class Suspect(ExactError):
    """A full reading answered nothing, or far fewer rows than are stored (§12.2)."""

    exit_code = 8
