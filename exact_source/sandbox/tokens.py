"""OAuth 2 as Exact does it: codes, rotating refresh tokens, and the rules for refreshing (§2)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, urlsplit

import msgspec

from exact_source.clock import Clock
from exact_source.sandbox.amsterdam import us_text
from exact_source.sandbox.messages import Refusal, Reply, Request
from exact_source.sandbox.options import Options
from exact_source.sandbox.storage import Storage

TOO_EARLY = "Rate limit exceeded: access_token not expired"
OLD_TOKEN = "Old refresh token used."  # noqa: S105
NO_CHAIN = "Token is not allowed, because of invalid or empty chainId"
_JSON = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


@dataclass(frozen=True, slots=True)
class App:
    """A registered app."""

    client_id: str
    secret: str
    redirect_uri: str

    def __repr__(self) -> str:
        return f"App({self.client_id})"

    def accepts(self, redirect_uri: str) -> bool:
        """Character for character; a loopback address may use any port."""
        registered, given = self.redirect_uri, redirect_uri
        if registered == given:
            return True
        is_local = _LOOPBACK.match(registered) and _LOOPBACK.match(given)
        return bool(is_local) and urlsplit(registered).path == urlsplit(given).path


@dataclass(frozen=True, slots=True)
class Session:
    """Who is calling: an app on behalf of a user, for the divisions of the consent (None: all)."""

    consent: int
    client_id: str
    user_id: str
    divisions: frozenset[int] | None
    is_expired: bool = False


class _TokenError(Exception):
    def __init__(self, status: int, error: str, description: str = "", reason: str = "") -> None:
        super().__init__(status, error)
        self.status = status
        self.answer = {"error": error} | ({"error_description": description} if description else {})
        self.reason = reason


class Tokens:
    """Apps, consents and the tokens that came of them; kept in the store, but for the number of calls today."""

    def __init__(self, storage: Storage, clock: Clock, options: Options) -> None:
        self._storage = storage
        self._clock = clock
        self._options = options
        self.issued: list[str] = []
        self._calls: Counter[tuple[str, str, date]] = Counter()

    def forget_calls(self) -> None:
        self._calls.clear()

    # apps and consent

    def register(self, app: App) -> None:
        self.issued.append(app.secret)
        self._storage.write(
            "insert or replace into app values (?, ?, ?)", (app.client_id, app.secret, app.redirect_uri)
        )

    def app(self, client_id: str) -> App | None:
        """The app with that id; braces around it are accepted."""
        rows = self._storage.read("select * from app where client_id = ?", (client_id.strip("{}").lower(),))
        return App(*rows[0]) if rows else None

    def issue_code(self, app: App, redirect_uri: str, user_id: str, divisions: frozenset[int] | None) -> str:
        """A code for one exchange, after the user said yes."""
        code = self._opaque(90)
        expires = self._clock.now() + timedelta(seconds=self._options.code_lifetime)
        self._storage.write(
            "insert into code (code, client_id, redirect_uri, user_id, divisions, expires) values (?, ?, ?, ?, ?, ?)",
            (code, app.client_id, redirect_uri, user_id, _written(divisions), expires.isoformat()),
        )
        return code

    def withdraw_consent(self) -> None:
        """The user withdraws every consent in Exact's own screens."""
        with self._storage.transaction():
            self._storage.write("update consent set ended = 1")
            self._storage.write("delete from access")

    def forget_access(self) -> None:
        """Every access token becomes invalid; the refresh tokens stay good."""
        self._storage.write("delete from access")

    # the token endpoint

    def answer(self, request: Request) -> Reply:
        """``POST /api/oauth2/token``."""
        with self._storage.transaction():
            form = _with_basic(request)
            if self._is_beyond_quota(form):
                return Reply(429, headers=(("Cache-Control", "no-store"),))  # assumed 2026-11-21: no body, as for data
            try:
                granted = self._grant(form)
            except _TokenError as refusal:
                reason = (("Reason", refusal.reason),) if refusal.reason else ()
                return Reply(refusal.status, msgspec.json.encode(refusal.answer), _JSON + reason)
        return Reply(200, msgspec.json.encode(granted), _JSON)

    def _is_beyond_quota(self, form: Mapping[str, str]) -> bool:
        """Count a call of an app on behalf of a user; calls that name nobody we know are not counted (§2.3)."""
        rows = self._storage.read(
            "select user_id from code where code = ?1 union select user_id from consent where refresh_token = ?2 "
            "union select c.user_id from spent s join consent c on c.id = s.consent where s.refresh_token = ?2",
            (form.get("code", ""), form.get("refresh_token", "")),
        )
        if not rows:
            return False
        day = self._clock.now().astimezone(UTC).date()
        caller = (form.get("client_id", "").strip("{}").lower(), str(rows[0][0]), day)
        if self._calls[caller] >= self._options.token_calls:
            return True
        self._calls[caller] += 1
        return False

    def _grant(self, form: Mapping[str, str]) -> dict[str, str]:
        app = self.app(form.get("client_id", ""))
        if app is None or not secrets.compare_digest(app.secret.encode(), form.get("client_secret", "").encode()):
            raise _TokenError(400, "invalid_request")
        if form.get("grant_type") == "authorization_code":
            return self._exchange(app, form)
        if form.get("grant_type") == "refresh_token":
            return self._refresh(app, form.get("refresh_token", ""))
        raise _TokenError(400, "invalid_request")

    def _exchange(self, app: App, form: Mapping[str, str]) -> dict[str, str]:
        rows = self._storage.read(
            "select redirect_uri, user_id, divisions, expires, used from code where code = ? and client_id = ?",
            (form.get("code", ""), app.client_id),
        )
        if not rows or rows[0][4] or self._clock.now() >= datetime.fromisoformat(rows[0][3]):
            raise _TokenError(400, "invalid_grant", NO_CHAIN)
        redirect_uri, user_id, divisions, _, _ = rows[0]
        if form.get("redirect_uri") != redirect_uri:
            raise _TokenError(400, "invalid_request")
        self._storage.write("update code set used = 1 where code = ?", (form["code"],))
        self._storage.write(
            "update consent set ended = 1 where client_id = ? and user_id = ?", (app.client_id, user_id)
        )
        self._storage.write(
            "insert into consent (client_id, user_id, divisions) values (?, ?, ?)", (app.client_id, user_id, divisions)
        )
        return self._issue(int(self._storage.read("select max(id) from consent")[0][0]), None)

    def _refresh(self, app: App, token: str) -> dict[str, str]:
        rows = self._storage.read(
            "select id, refresh_issued, access_issued, ended from consent where refresh_token = ? and client_id = ?",
            (token, app.client_id),
        )
        if not rows:
            if self._storage.read("select 1 from spent where refresh_token = ?", (token,)):
                raise _TokenError(401, "unauthorized_client", OLD_TOKEN)
            raise _TokenError(400, "invalid_grant", NO_CHAIN)
        consent, refresh_issued, access_issued, ended = rows[0]
        if ended:
            raise _TokenError(400, "invalid_grant", NO_CHAIN)
        self._check_expiry(datetime.fromisoformat(refresh_issued))
        self._check_patience(datetime.fromisoformat(access_issued), consent, token)
        return self._issue(consent, token)

    def _check_expiry(self, issued: datetime) -> None:
        expiry, now = issued + timedelta(days=self._options.refresh_lifetime_days), self._clock.now()
        if now >= expiry:
            text = f"The refresh token expired at {us_text(expiry)} and it is now {us_text(now)}."
            raise _TokenError(400, "invalid_request", text)

    def _check_patience(self, issued: datetime, consent: int, token: str) -> None:
        if (self._clock.now() - issued).total_seconds() >= self._options.refresh_threshold:
            return
        if self._options.early_refresh_consumes:
            self._rotate(consent, token)
        raise _TokenError(400, "access_denied", TOO_EARLY, reason=f"TooEarlyToRefreshTokens: {TOO_EARLY}")

    def _rotate(self, consent: int, spent: str | None) -> str:
        token = self._opaque(420)
        if spent is not None:
            self._storage.write("insert or ignore into spent values (?, ?)", (spent, consent))
        self._storage.write(
            "update consent set refresh_token = ?, refresh_issued = ? where id = ?",
            (token, self._clock.now().isoformat(), consent),
        )
        return token

    def _issue(self, consent: int, spent: str | None) -> dict[str, str]:
        now = self._clock.now()
        refresh = self._rotate(consent, spent) if spent is None or self._options.rotation else spent
        access = self._opaque(760)
        expires = now + timedelta(seconds=self._options.access_lifetime)
        self._storage.write("insert into access values (?, ?, ?)", (access, consent, expires.isoformat()))
        self._storage.write(
            "update consent set access_issued = ?1, refresh_issued = ?1 where id = ?2", (now.isoformat(), consent)
        )
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": str(self._options.access_lifetime),
            "refresh_token": refresh,
        }

    # using a token

    def session(self, request: Request) -> Session:
        """Who sends this request. A refusal with 401 when the token is missing or unknown."""
        scheme, _, token = request.header("authorization").partition(" ")
        rows = self._storage.read(
            "select a.expires, c.id, c.client_id, c.user_id, c.divisions "
            "from access a join consent c on c.id = a.consent where a.token = ?",
            (token.strip(),),
        )
        if scheme.lower() != "bearer" or not rows:
            raise unauthenticated("missing or invalid access token")
        expires, consent, client_id, user_id, divisions = rows[0]
        is_expired = self._clock.now() >= datetime.fromisoformat(expires)
        return Session(consent, client_id, user_id, _read(divisions), is_expired)

    def _opaque(self, size: int) -> str:
        """A long token of the service's looks: a stamp, a short head, an exclamation mark, base64url."""
        head = hashlib.sha256(secrets.token_bytes(16)).hexdigest()[:4]
        body = base64.urlsafe_b64encode(secrets.token_bytes(size * 3 // 4)).decode().rstrip("=")
        token = f"stamp{self._options.stamp}.{head}!IAAAA{body}"
        self.issued.append(token)
        return token


def unauthenticated(description: str) -> Refusal:
    """401 with the reason URL-encoded in ``WWW-Authenticate``; the body is empty (assumed, §2.5)."""
    challenge = f'Bearer realm="Exact Online", error="invalid_token", error_description="{quote(description)}"'
    return Refusal(401, headers=(("WWW-Authenticate", challenge),), reason="Authentication Required")


def _with_basic(request: Request) -> dict[str, str]:
    """The form, with client credentials taken from Basic authentication when they stand there."""
    if not request.header("content-type").startswith("application/x-www-form-urlencoded"):
        return {}
    form = dict(request.form)
    scheme, _, encoded = request.header("authorization").partition(" ")
    if scheme.lower() == "basic" and "client_id" not in form:
        client_id, _, secret = _decoded(encoded).partition(":")
        form |= {"client_id": client_id, "client_secret": secret}
    return form


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:
        return ""


def _written(divisions: frozenset[int] | None) -> str | None:
    return None if divisions is None else json.dumps(sorted(divisions))


def _read(text: str | None) -> frozenset[int] | None:
    return None if text is None else frozenset(json.loads(text))
