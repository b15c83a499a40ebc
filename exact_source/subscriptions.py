"""Subscribing to the notices of Exact (§8.1): one subscription per division and topic, made once, and taken back.

A subscription is a write like any other, through the outbox. What Exact lists is what there is: it is asked first.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from exact_source.errors import ConfigurationError, ExactError, ReconnectRequired, Rejected, UnknownName
from exact_source.exchange import Request
from exact_source.notice_content import topics
from exact_source.odata import is_encrypted
from exact_source.opening import Desk
from exact_source.proxy import Wish, ask
from exact_source.setting_values import UnusableValue, is_loopback, web_address
from exact_source.settings import Settings
from exact_source.writes import Write

PATH = "webhooks/WebhookSubscriptions"
SHOWN = "ID,Topic,CallbackURL,Created"

Status = Literal["subscribed", "there", "elsewhere", "refused", "removed"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One that Exact lists for our app."""

    division: int
    id: str
    topic: str
    callback: str
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one topic in one division; of a whole division that refused, the topic is None."""

    division: int
    topic: str | None
    status: Status
    error: ExactError | None = None


def check_callback(settings: Settings, callback: str) -> None:
    """ConfigurationError unless Exact can take the address: https, of the domain of the redirect address (§8.1).

    Only where Exact is a program on this machine, so may the address be.
    """
    try:
        _, parts = web_address(callback)
    except UnusableValue as why:
        raise ConfigurationError(f"--callback {why}") from None
    host = parts.hostname or ""
    is_practice = is_loopback(urlsplit(settings.base_url).hostname) and is_loopback(host)
    if not is_practice and (not is_encrypted(callback) or is_loopback(host)):
        raise ConfigurationError("--callback must be an https address that Exact can reach from the internet")
    if parts.fragment or parts.username is not None:
        raise ConfigurationError("--callback must hold no user, password or fragment")
    own = urlsplit(settings.redirect_uri or "").hostname
    if own is None:
        raise ConfigurationError("Exact takes callbacks of the domain of the setting redirect_uri only; write it first")
    if not is_practice and not _is_same_domain(host, own):
        raise ConfigurationError(
            f"Exact takes callbacks of the domain of the app's redirect address only: {host} is not of {own}"
        )


def _is_same_domain(one: str, other: str) -> bool:
    """Equal, one below the other, or both below the same name; what is a public suffix is for Exact to know."""
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    if one == other:
        return True
    if _is_address(one) or _is_address(other):
        return False
    parents = [name.partition(".")[2] for name in (one, other)]
    is_below = (one.endswith("." + other) and "." in other) or (other.endswith("." + one) and "." in one)
    return is_below or (parents[0] == parents[1] and "." in parents[0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_topics(names: Iterable[str]) -> None:
    for name in names:
        if name not in topics():
            raise UnknownName(f"there is no topic {name!r}; there are {', '.join(topics())}")


def listed(desk: Desk, division: int) -> list[Subscription]:
    """What Exact has for our app in a division: one call."""
    request = Request("GET", PATH, division, query={"$select": SHOWN})
    rows = ask(desk, request, Wish(all_pages=True, dates=True)).rows
    return [
        Subscription(division, str(row["ID"]), str(row.get("Topic")), str(row.get("CallbackURL")), row.get("Created"))
        for row in rows
        if row.get("ID")
    ]


def subscribe(desk: Desk, divisions: Sequence[int], wanted: Sequence[str], callback: str) -> Iterator[Done]:
    """Makes what is missing. A division that refuses is told, and the others go on."""
    for division in divisions:
        try:
            known = {one.topic: one for one in listed(desk, division)}
            for topic in wanted:
                yield _subscribed(desk, known.get(topic), Subscription(division, "", topic, callback))
        except ReconnectRequired:
            raise
        except ExactError as error:
            yield Done(division, None, "refused", error)


def _subscribed(desk: Desk, known: Subscription | None, wanted: Subscription) -> Done:
    if known is None:
        try:
            _made(desk, wanted)
            return Done(wanted.division, wanted.topic, "subscribed")
        except Rejected:
            # "Data already exists", in whatever language: another process was first, if the list says so.
            known = next((one for one in listed(desk, wanted.division) if one.topic == wanted.topic), None)
            if known is None:
                raise
    is_ours = known.callback == wanted.callback
    return Done(wanted.division, wanted.topic, "there" if is_ours else "elsewhere")


def _made(desk: Desk, wanted: Subscription) -> None:
    """Sent once, however often it is asked for; made anew where Exact has lost what was made before."""
    named = hashlib.sha256(f"{wanted.division} {wanted.topic} {wanted.callback}".encode()).hexdigest()
    body = {"Topic": wanted.topic, "CallbackURL": wanted.callback}
    key = f"subscribe-{wanted.division}-{wanted.topic[:60]}-{named[:16]}"
    write = Write(PATH, "POST", wanted.division, body=body, idempotency_key=key)
    if desk.submit(write).how == "known":
        desk.outbox.undone(write.name)
        desk.submit(write)


def unsubscribe(desk: Desk, divisions: Sequence[int], wanted: Sequence[str], callback: str | None) -> Iterator[Done]:
    """Removes what is listed of these topics, all for none, and of this callback, any for None."""
    for division in divisions:
        try:
            for one in listed(desk, division):
                if (not wanted or one.topic in wanted) and callback in (None, one.callback):
                    desk.submit(Write(PATH, "DELETE", division, key=one.id))
                    yield Done(division, one.topic, "removed")
        except ReconnectRequired:
            raise
        except ExactError as error:
            yield Done(division, None, "refused", error)
