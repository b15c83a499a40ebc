"""What is known of a connection: its token pair, a renewal under way, and who gave consent for which divisions.

Values only: ``tokens`` keeps them, ``renewal`` decides on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from exact_source.errors import Unreadable
from exact_source.setting_values import Masked

LIFE = 600  # seconds that an access token lives (§2.3)
REFRESH_AFTER = 570  # seconds from its receipt before which Exact refuses a newer one (§2.3)
REFRESH_LIFE = timedelta(days=30)  # an unused refresh token dies (§2.3)
CALLS_PER_DAY = 200  # token calls per app and user and UTC day (§2.3)
SPENT_KEPT = 16


@dataclass(frozen=True, slots=True)
class Token:
    """One token pair. ``issued_at`` is when we received it (UTC), ``expires_in`` seconds count from there."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    issued_at: datetime
    expires_in: int = LIFE
    generation: int = 1

    @classmethod
    def from_response(cls, body: bytes | str | Mapping[str, Any], at: datetime, old: Token | None = None) -> Token:
        """Reads a 200 of the token endpoint (§2.2); Unreadable when it holds no token.

        ``expires_in`` may be text or a number, the type may be in any case. An app without rotation may leave the
        refresh token out: then the one of ``old`` goes on.
        """
        answer = _object(body)
        access = _opaque(answer.get("access_token"))
        refresh = _opaque(answer.get("refresh_token")) or (old.refresh_token if old else None)
        kind = str(answer.get("token_type") or "bearer").lower()
        if access is None or refresh is None or kind != "bearer":
            raise Unreadable("Exact's token answer holds no token pair; nothing was stored")
        return cls(access, refresh, at, _seconds(answer.get("expires_in")), old.generation + 1 if old else 1)

    @property
    def fingerprint(self) -> str:
        """Names the refresh token without telling it."""
        return hashlib.sha256(self.refresh_token.encode()).hexdigest()[:32]

    @property
    def renewable_at(self) -> datetime:
        """From here on Exact may give a newer one."""
        return self.issued_at + timedelta(seconds=max(REFRESH_AFTER, self.expires_in - (LIFE - REFRESH_AFTER)))

    @property
    def expires_at(self) -> datetime:
        return self.issued_at + timedelta(seconds=self.expires_in)

    @property
    def lost_at(self) -> datetime:
        """The refresh token dies here when nobody uses it."""
        return self.issued_at + REFRESH_LIFE

    def is_fresh(self, now: datetime) -> bool:
        """True while there is nothing to renew. A token from the future means that the clock was turned back."""
        return self.issued_at - timedelta(minutes=1) <= now < min(self.renewable_at, self.expires_at)

    def is_usable(self, now: datetime) -> bool:
        return now < self.expires_at

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "issued_at": self.issued_at.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Token:
        raw = json.loads(text)
        pair = {name: Masked(raw[name]) for name in ("access_token", "refresh_token")}
        return cls(**{**raw, **pair, "issued_at": datetime.fromisoformat(raw["issued_at"])})


def _object(body: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    try:
        answer = json.loads(body.decode("utf-8-sig") if isinstance(body, bytes) else body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Unreadable("Exact's token answer is not a JSON object; nothing was stored")
    return answer


def _opaque(value: object) -> str | None:
    """Opaque tokens (§2.2), but never one that could break out of a header."""
    is_token = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    return Masked(value) if isinstance(value, str) and is_token and value else None


def _seconds(value: object) -> int:
    text = str(value).strip().partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 86_400 else LIFE


@dataclass(frozen=True, slots=True)
class Intent:
    """A refresh that was about to be sent. While it stands, nobody knows whether Exact has rotated."""

    fingerprint: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Why the refresh token is of no use any more: the name of an error class, and its words."""

    kind: str
    told: str


@dataclass(frozen=True, slots=True)
class Division:
    """A division of the consent, as ``system/Divisions`` describes it. ``status``: 0 inactive, 1 active, 2 archived."""

    code: int
    description: str
    country: str | None = None
    currency: str | None = None
    status: int | None = None
    blocking_status: int | None = None
    customer: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who gave consent, and for which divisions, when last asked."""

    user_id: str | None = None
    user_name: str | None = None
    full_name: str | None = None
    email: str | None = None
    current_division: int | None = None
    divisions: tuple[Division, ...] = ()

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Identity:
        raw = json.loads(text)
        return cls(**{**raw, "divisions": tuple(Division(**one) for one in raw["divisions"])})


@dataclass(frozen=True, slots=True)
class Connection:
    """One authorised user, host and app, and the state of its token.

    ``spent`` names refresh tokens that were exchanged; ``wait_until`` is a moment before which Exact will refuse;
    ``calls`` counts token calls on ``calls_day`` (UTC); ``environment`` is where the token was stored last.
    """

    name: str
    host: str | None = None
    client_id: str | None = None
    token: Token | None = None
    previous: Token | None = None
    generation: int = 0
    intent: Intent | None = None
    spent: tuple[str, ...] = ()
    wait_until: datetime | None = None
    loss: Loss | None = None
    calls_day: str = ""
    calls: int = 0
    identity: Identity | None = None
    environment: str = ""

    def calls_on(self, now: datetime) -> int:
        """Token calls made on the UTC day of ``now``."""
        return self.calls if self.calls_day == now.astimezone(UTC).date().isoformat() else 0

    def with_call(self, now: datetime) -> Connection:
        return replace(self, calls=self.calls_on(now) + 1, calls_day=now.astimezone(UTC).date().isoformat())

    def with_token(self, token: Token, *, is_consent: bool = False) -> Connection:
        """The connection after Exact gave ``token``: the old pair is kept as the previous generation and as spent.

        An app with rotation switched off gets the same refresh token again; that one is not spent.
        """
        old = None if is_consent else self.token
        is_rotated = old is not None and old.refresh_token != token.refresh_token
        spent = (*self.spent, old.fingerprint)[-SPENT_KEPT:] if old and is_rotated else self.spent
        generation = self.generation + 1
        return replace(
            self,
            token=replace(token, generation=generation),
            previous=self.token,
            generation=generation,
            spent=spent,
            intent=None,
            wait_until=None,
            loss=None,
        )

    def state_as_json(self) -> str:
        intent = self.intent and {**asdict(self.intent), "at": self.intent.at.isoformat()}
        return json.dumps(
            {
                "intent": intent,
                "spent": self.spent,
                "wait_until": self.wait_until and self.wait_until.isoformat(),
                "loss": self.loss and asdict(self.loss),
                "calls_day": self.calls_day,
                "calls": self.calls,
            }
        )

    def with_state(self, text: str) -> Connection:
        raw = json.loads(text)
        intent, loss, until = raw["intent"], raw["loss"], raw["wait_until"]
        return replace(
            self,
            intent=intent and Intent(**{**intent, "at": datetime.fromisoformat(intent["at"])}),
            spent=tuple(raw["spent"]),
            wait_until=until and datetime.fromisoformat(until),
            loss=loss and Loss(**loss),
            calls_day=raw["calls_day"],
            calls=raw["calls"],
        )
