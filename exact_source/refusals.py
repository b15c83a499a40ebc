"""What a person is told when a token cannot be had: every refusal as an error with its cause and its cure. No I/O."""

from __future__ import annotations

from datetime import datetime

from exact_source.connections import CALLS_PER_DAY, REFRESH_LIFE, Connection, Intent, Loss
from exact_source.errors import (
    Busy,
    ConfigurationError,
    ConsentWithdrawn,
    DayQuotaSpent,
    Maintenance,
    NeverConnected,
    ReconnectRequired,
    Rejected,
    RotationInterrupted,
    TokenExpired,
    TokenRotatedElsewhere,
    Unreachable,
)
from exact_source.settings import Settings, connect_command

KINDS: dict[str, type[ReconnectRequired]] = {
    kind.__name__: kind for kind in (RotationInterrupted, TokenExpired, TokenRotatedElsewhere, ConsentWithdrawn)
}


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def cure(name: str) -> str:
    return f"run `{connect_command(name)}`"


def never_connected(name: str) -> NeverConnected:
    return NeverConnected(f"connection {name!r} has no token yet; {cure(name)}")


def from_loss(name: str, loss: Loss) -> ReconnectRequired:
    """The error that was found when the token was lost, at every later start."""
    return KINDS.get(loss.kind, ConsentWithdrawn)(f"connection {name!r}: {loss.told}; {cure(name)}")


def trouble(name: str, known: Connection | None, now: datetime) -> ReconnectRequired | None:
    """Why a person has to connect. A token that this process cannot decrypt says nothing about the token."""
    if known is None or not known.generation:
        return never_connected(name)
    if known.loss is not None:
        return from_loss(name, known.loss)
    if known.token is not None and now >= known.token.lost_at:
        return from_loss(name, expired(known.token.issued_at))
    return None


def as_loss(kind: type[ReconnectRequired], told: str) -> Loss:
    return Loss(kind.__name__, told)


def rotated(connection: Connection, place: str, is_copy: bool) -> Loss:
    told = (
        "somebody else used the refresh token of this connection, and Exact gives each only once: another environment"
        " or program shares it"
    )
    if is_copy:
        told += f" (this store, {place}, is a copy: the token was last renewed in {connection.environment})"
    return as_loss(TokenRotatedElsewhere, f"{told}. Give every environment a consent of its own")


def interrupted(intent: Intent) -> Loss:
    return as_loss(
        RotationInterrupted,
        f"a renewal sent at {_moment(intent.at)} by {intent.by} never brought its answer to the store, and Exact had"
        " replaced the token by then; the new one is lost",
    )


def expired(issued_at: datetime, told: str = "") -> Loss:
    words = f" ({told})" if told else ""
    return as_loss(
        TokenExpired,
        f"its token of {_moment(issued_at)} was not used for {REFRESH_LIFE.days} days and has expired{words};"
        " `exact-source connect --keep-alive` once a week prevents this",
    )


def withdrawn(told: str) -> Loss:
    return as_loss(
        ConsentWithdrawn, f"Exact does not know its token any more: consent was withdrawn or given again ({told})"
    )


def young_but_refused(name: str, seconds: float) -> ConsentWithdrawn:
    return ConsentWithdrawn(
        f"connection {name!r}: Exact refuses a token that is {max(seconds, 0):.0f} seconds old: consent was withdrawn,"
        f" the user is blocked, or consent was given again elsewhere; {cure(name)}"
    )


def wrong_app(settings: Settings, told: str) -> ConfigurationError:
    return ConfigurationError(
        f"Exact does not accept client_id and client_secret of connection {settings.connection!r} at"
        f" {settings.base_url} ({told}); compare both with the Exact App Center and the region with the app's country."
        " The token is kept"
    )


def other_app(settings: Settings) -> ConfigurationError:
    name = settings.connection
    return ConfigurationError(
        f"connection {name!r} was made with another client_id than the settings hold now; restore it, or {cure(name)}"
    )


def other_host(settings: Settings, host: str) -> ConfigurationError:
    name = settings.connection
    return ConfigurationError(
        f"connection {name!r} was made at {host}, the settings say {settings.base_url}, and a token is only ever sent"
        f" to the host that gave it; mend region or base_url, or {cure(name)}"
    )


def too_early(name: str) -> Busy:
    return Busy(
        f"connection {name!r}: Exact finds it too early for a new token, though the one at hand is over. Try again in"
        " ten minutes; if it stays, the clock of this machine is off or another environment shares the connection"
    )


def outage(name: str, told: str) -> Maintenance:
    return Maintenance(
        f"connection {name!r}: Exact's token service is down or in maintenance ({told}); the token is kept,"
        " run again later"
    )


def unreachable(name: str, told: str) -> Unreachable:
    return Unreachable(f"connection {name!r}: {told}; the token is kept, run again later")


def refused(name: str, told: str) -> Rejected:
    return Rejected(f"connection {name!r}: Exact refused to renew the token ({told}); the token is kept")


def day_spent(name: str) -> DayQuotaSpent:
    return DayQuotaSpent(
        f"connection {name!r} has made the {CALLS_PER_DAY} token calls that Exact allows in a day; it goes on after"
        f" 00:00 UTC. So many calls mean that a program asks too often; {cure(name)} is not needed"
    )


def stale_code(name: str, told: str) -> ConsentWithdrawn:
    return ConsentWithdrawn(
        f"Exact does not accept the code ({told}): it is good for three minutes and for one use; {cure(name)} again"
    )


def copied(connection: Connection, environment: str) -> str:
    """A warning, not an error: the copy may be a move."""
    return (
        f"connection {connection.name!r}: this token store was last written as {connection.environment} and is now"
        f" {environment}. If both are in use, the first to renew the token locks the other out: {cure(connection.name)}"
        " in one of them, with a consent of its own"
    )
