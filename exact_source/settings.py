"""What the user decides, found through dlt's configuration when asked for and never at import.

Every setting may stand, from strong to weak: as an argument, under ``[sources.exact_online.connections.<name>]``, under
``[sources.exact_online]``; the last two as environment variables (``SOURCES__EXACT_ONLINE__CLIENT_ID``), in
``.dlt/secrets.toml`` or in ``.dlt/config.toml``. Only these sections are read: a stray ``REGION`` or ``BASE_URL`` in
the environment of a container never decides where a token is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs
import sqlalchemy

from exact_source import alert_settings, connection_values, log_settings, setting_keys
from exact_source import setting_values as values
from exact_source.alert_settings import Channel
from exact_source.choice import Patterns
from exact_source.errors import ConfigurationError, UnknownName
from exact_source.setting_keys import CONNECTIONS, SECTIONS
from exact_source.setting_lookup import look_up, place, variable
from exact_source.setting_values import HOSTS, Deletes, Parser, Secret, UnusableValue
from exact_source.webhook_settings import Subscription, subscriptions

DEFAULT_CONNECTION = "default"
DEFAULT_REGION = "nl"
DATASET = "exact_online"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app's own identity, present and well-formed."""

    client_id: str
    client_secret: Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one connection, checked. Secrets show as ``***``.

    region: country site, see ``HOSTS``. base_url: host to call, instead of the region's (tests, proxies).
    client_id, client_secret: the app. redirect_uri: exactly as registered with the app; https, or this machine.
    token_store: SQLAlchemy URL. encryption_key: Fernet keys, the first one encrypts. plain_tokens: no encryption.
    divisions, entities: what to read; None is all divisions of the consent, the default entities. include, exclude:
    patterns of names of divisions, instead of codes. feeds, windows: by entity, as the options of ``run`` take them.
    start_date: rows changed before this day are not read. modified_overlap: seconds read again behind a bookmark.
    daily_reserve: calls of each division's day left to others. breaker_limit: client errors in an hour after which an
    endpoint is left alone (Exact locks it after 10). max_workers: divisions read at the same time.
    timeout: seconds that one answer may take. deletes: ``hard`` removes rows that were deleted in Exact, ``soft`` marks
    them in ``_deleted_at``, ``off`` keeps them. compare_every: days between two comparisons of keys, see ``Session``.
    schema_contract: of dlt, by entity, ``*`` for the others. action_defaults: what actions write where their input says
    nothing, by division (``*`` for all), action and field. outbox_days: how long bodies of ended writes are kept.
    destination, database, dataset: where rows go. schedule: when, as a cron expression in UTC, for those who start
    runs. tags, metadata: words of the user's own, which go along with what is told of the connection.
    log_days: how long the request log is kept, 0 for none. log_bodies: endpoints whose bodies it keeps, without
    personal fields and those that log_redact names. load_requests: each run loads the log.
    alerts: where problems are told. alert_silence_hours: without a new row, by entity or ``*``, after which that is a
    problem. alert_token_days: days left of a token from which on it is one.
    webhooks: who is told what each load changed. webhook_secret: of the app, with which Exact signs its notices.
    serve_token: what whoever asks the HTTP server has to bring; read from the default connection.
    """

    connection: str
    region: str
    base_url: str
    client_id: str | None
    client_secret: Secret | None
    redirect_uri: str | None
    token_store: Secret
    encryption_key: tuple[Secret, ...]
    plain_tokens: bool
    divisions: tuple[int, ...] | None
    entities: tuple[str, ...] | None
    start_date: date | None
    modified_overlap: int
    daily_reserve: int
    breaker_limit: int
    max_workers: int
    timeout: int
    deletes: Deletes
    compare_every: int
    schema_contract: Mapping[str, str]
    action_defaults: Mapping[str, Mapping[str, Mapping[str, Any]]]
    outbox_days: int
    log_days: int
    log_bodies: tuple[str, ...]
    log_redact: tuple[str, ...]
    load_requests: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    feeds: Mapping[str, str]
    windows: Mapping[str, str]
    destination: str
    database: Secret | None
    dataset: str
    schedule: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    alerts: tuple[Channel, ...]
    alert_silence_hours: Mapping[str, int]
    alert_token_days: int
    webhooks: tuple[Subscription, ...]
    webhook_secret: tuple[Secret, ...]
    serve_token: Secret | None

    @property
    def patterns(self) -> Patterns:
        """The divisions to read by name; empty where codes say it, or nothing does."""
        return Patterns(self.include, self.exclude)

    @property
    def connect_command(self) -> str:
        """What a person runs to give consent for this connection."""
        return connect_command(self.connection)


PARSERS: dict[str, Parser] = {
    "region": values.region,
    "base_url": values.base_url,
    "client_id": values.client_id,
    "client_secret": values.secret,
    "redirect_uri": values.redirect_uri,
    "token_store": values.store_url,
    "encryption_key": values.fernet_keys,
    "plain_tokens": values.switch,
    "divisions": values.division_codes,
    "entities": connection_values.entity_names,
    "start_date": values.day,
    "modified_overlap": values.whole(0, 30 * 86_400),
    "daily_reserve": values.whole(0, 1_000_000),
    "breaker_limit": values.whole(1, 9),
    "max_workers": values.whole(1, 64),
    "timeout": values.whole(1, 3_600),
    "deletes": values.deletes,
    "compare_every": values.whole(0, 3_660),
    "schema_contract": values.contracts,
    "action_defaults": values.action_defaults,
    "outbox_days": values.whole(1, 399),
    "log_days": values.whole(0, 3_660),
    "log_bodies": log_settings.bodies,
    "log_redact": log_settings.field_names,
    "load_requests": values.switch,
    "include": connection_values.listed,
    "exclude": connection_values.listed,
    "feeds": connection_values.feeds,
    "windows": connection_values.windows,
    "destination": connection_values.destination,
    "database": connection_values.place,
    "dataset": connection_values.dataset,
    "schedule": connection_values.schedule,
    "tags": connection_values.listed,
    "metadata": connection_values.table_of_text,
    "alerts": alert_settings.channels,
    "alert_silence_hours": alert_settings.silence,
    "alert_token_days": values.whole(1, 29),
    "webhooks": subscriptions,
    "webhook_secret": values.secrets,
    "serve_token": values.bearer_token,
}
DEFAULTS: dict[str, Any] = {
    "region": DEFAULT_REGION,
    "encryption_key": (),
    "plain_tokens": False,
    "modified_overlap": 300,
    "daily_reserve": 0,
    "breaker_limit": 5,
    "max_workers": 16,
    "timeout": 120,
    "deletes": "hard",
    "compare_every": 7,
    "schema_contract": {},
    "action_defaults": {},
    "outbox_days": 30,
    "log_days": 30,
    "log_bodies": (),
    "log_redact": (),
    "load_requests": False,
    "include": (),
    "exclude": (),
    "feeds": {},
    "windows": {},
    "destination": "duckdb",
    "tags": (),
    "metadata": {},
    "alerts": (),
    "alert_silence_hours": {},
    "alert_token_days": 5,
    "webhooks": (),
    "webhook_secret": (),
}
# Choose divisions by name, instead of by code.
PATTERNS = ("include", "exclude")
# Refused in config.toml, which people commit.
SECRETS = frozenset({"client_secret", "encryption_key", "alerts", "webhooks", "webhook_secret", "serve_token"})
# Never shown: these may hold a password.
HIDDEN = SECRETS | {"token_store", "database"}


def connect_command(connection: str) -> str:
    return f"exact-source connect --connection {connection}"


def data_folder() -> Path:
    """The user's own folder for this product; made, with mode 0700, by whoever writes there first."""
    return Path(platformdirs.user_data_dir("exact-source", appauthor=False))


def private_folder(*names: str) -> Path:
    """The data folder, or one inside it; made if need be, and closed to all other users also where it was open."""
    folder = data_folder()
    for made in (folder, *(folder.joinpath(*names[: at + 1]) for at in range(len(names)))):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        if made.stat().st_mode & 0o077:
            made.chmod(0o700)
    return folder.joinpath(*names)


def load_settings(connection: str = DEFAULT_CONNECTION, **overrides: object) -> Settings:
    """Finds and checks every setting of ``connection``; an override of None counts as not given.

    Raises ConfigurationError naming the setting, its value unless secret, and the cure. The app's credentials may still
    be absent: ``require_credentials`` demands them.
    """
    check_name(connection)
    unknown = sorted(overrides.keys() - PARSERS.keys())
    if unknown:
        raise UnknownName(f"there is no setting {unknown[0]!r}; there are {', '.join(PARSERS)}")
    found = {name: _find(connection, name, overrides.get(name)) for name in PARSERS}
    setting_keys.check(connection, PARSERS)
    return Settings(connection=connection, **_completed(connection, found))


def configured(stored: Iterable[str] = ()) -> tuple[str, ...]:
    """The connections with settings of their own. ``stored``: names that a variable with underscores may mean."""
    return setting_keys.connection_names(PARSERS, stored)


def peek_tags(connection: str) -> tuple[str, ...]:
    """The tags of a connection, also of one whose other settings are wrong; none when they are wrong themselves."""
    try:
        found = _find(connection, "tags", None)
    except ConfigurationError:
        return ()
    return found.value if found else ()


def own_dataset(connection: str) -> str:
    """Where the rows of one connection of many go when nobody says so: no two of them share their tables."""
    template = DATASET if connection == DEFAULT_CONNECTION else f"{DATASET}_{connection_values.PLACEHOLDER}"
    return connection_values.filled(template, connection)


def check_name(connection: str) -> None:
    """Names are file names and parts of environment variables as well."""
    is_plain = connection.replace("-", "").replace("_", "").isalnum() and connection.isascii()
    if not is_plain or connection != connection.lower() or not connection[0].isalnum() or len(connection) > 63:
        raise ConfigurationError(
            f"{connection[:80]!r} is not a usable name of a connection; use lower-case letters, digits, - and _"
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A checked value and how near to the caller it stood: 0 argument, 1 connection, 2 default."""

    value: Any
    level: int


def _find(connection: str, name: str, override: object) -> _Found | None:
    """The nearest value. Those further away are checked as well: one day they will count."""
    return next(iter(list(_all(connection, name, override))), None)


def _all(connection: str, name: str, override: object) -> Iterator[_Found]:
    if not _is_blank(override):
        yield _Found(_parsed(name, override, f"argument {name}", ""), 0)
    # An environment variable cannot hold a dash: a connection's dash may be written as an underscore.
    own = dict.fromkeys(f"{CONNECTIONS}.{one}" for one in (connection, connection.replace("-", "_")))
    places = [(1, ".".join((*SECTIONS, one, name))) for one in own] + [(2, ".".join((*SECTIONS, name)))]
    for level, path in places:
        value = look_up(path, partial(_is_secret, name) if name in HIDDEN else None)
        if not _is_blank(value):
            yield _Found(_parsed(name, value, path, place(path)), level)


def _is_secret(name: str, value: object) -> bool:
    if name in SECRETS:
        return True
    return values.has_password(value) if name == "token_store" else connection_values.has_password(str(value))


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _parsed(name: str, value: object, path: str, where: str) -> Any:
    try:
        return PARSERS[name](value)
    except UnusableValue as why:
        # A malformed client id may well be the client secret in the wrong place.
        shown = "" if name in HIDDEN or name == "client_id" or "@" in str(value) else f" = {value!r}"
        kind = UnknownName if name == "region" else ConfigurationError
        raise kind(f"{path}{shown} {why}{where}") from None


def _completed(connection: str, found: dict[str, _Found | None]) -> dict[str, Any]:
    """The values with defaults filled in. Of region and base_url, the one nearer to the caller decides the host."""
    known = {name: DEFAULTS.get(name) if one is None else one.value for name, one in found.items()}
    region, base_url = found["region"], found["base_url"]
    if base_url is None or (region is not None and region.level < base_url.level):
        known["base_url"] = HOSTS[str(known["region"])]
    known["token_store"] = known["token_store"] or Secret(_default_store())
    known |= dict.fromkeys(_outweighed(found), None)
    known |= {name: known[name] or () for name in PATTERNS}
    given = known["dataset"] or (own_dataset(connection) if connection in configured([connection]) else DATASET)
    known["dataset"] = connection_values.filled(given, connection)
    if known["database"] is not None:
        known["database"] = Secret(connection_values.filled(known["database"].reveal(), connection))
    return known


def _outweighed(found: Mapping[str, _Found | None]) -> Iterable[str]:
    """Of codes and patterns of divisions, those that stand further from the caller."""
    codes = found["divisions"]
    patterns = [one.level for one in (found[name] for name in PATTERNS) if one is not None]
    if codes is None or not patterns:
        return ()
    if codes.level == min(patterns) and codes.value is not None:
        raise ConfigurationError(
            "divisions and include or exclude stand in the same section; write either codes or patterns of names"
        )
    return PATTERNS if codes.level < min(patterns) else ("divisions",)


def _default_store() -> str:
    url = sqlalchemy.URL.create("sqlite", database=str(data_folder() / "tokens.db"))
    return url.render_as_string(hide_password=False)


def require_credentials(settings: Settings) -> Credentials:
    """The app's client id and secret, or a ConfigurationError that says where to write them."""
    if settings.client_id is None:
        raise _missing("client_id", "the client id of your app, from the Exact App Center")
    if settings.client_secret is None:
        raise _missing("client_secret", "the client secret of your app, from the Exact App Center")
    return Credentials(settings.client_id, settings.client_secret)


def require_redirect_uri(settings: Settings) -> str:
    """The registered redirect URI, or a ConfigurationError that says where to write it."""
    if settings.redirect_uri is None:
        raise _missing("redirect_uri", "the redirect URI exactly as registered with your app")
    return settings.redirect_uri


def _missing(name: str, what: str) -> ConfigurationError:
    path = ".".join((*SECTIONS, name))
    return ConfigurationError(
        f"{path} is missing: {what}. Write it under [{'.'.join(SECTIONS)}] in .dlt/secrets.toml,"
        f" or set the environment variable {variable(path)}"
    )
