"""One POST of a webhook: signed, to an address that was looked at first, and never anywhere else.

Signature: hexadecimal HMAC-SHA256 with the subscription's secret over the bytes of ``Webhook-Timestamp``, a full stop
and the body. A receiver compares it, and refuses a timestamp of more than five minutes ago.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from exact_source.setting_values import Secret
from exact_source.webhook_queue import Letter
from exact_source.webhook_settings import Subscription

TIMEOUT = httpx.Timeout(5.0, connect=3.0)
GONE = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """``error`` is None when the receiver took it; ``is_hopeless``: no later try will do."""

    error: str | None = None
    is_hopeless: bool = False


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """``v1=`` and the HMAC, as in the header ``Webhook-Signature``."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()


def post(http: httpx.Client, to: Subscription, letter: Letter, now: datetime) -> Verdict:
    """Tells one change. Never raises for what a network or a receiver may do."""
    body, timestamp = letter.body.encode(), str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "exact-source",
        "Webhook-Id": letter.id,
        "Webhook-Timestamp": timestamp,
        "Webhook-Signature": signature(to.secret, timestamp, body),
    }
    parts = urlsplit(to.url.reveal())
    host = parts.hostname or ""
    try:
        address = reachable(host, parts.port or (443 if parts.scheme == "https" else 80), is_private=to.allow_private)
    except Unreachable as why:
        return Verdict(str(why), why.is_hopeless)
    # Sent to the very address that was looked at: a name may lead elsewhere a moment later.
    url = httpx.URL(to.url.reveal()).copy_with(host=address)
    headers["Host"] = parts.netloc
    try:
        extensions = {"sni_hostname": host}
        with http.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer:
            return _judged(answer.status_code)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Verdict(f"no answer ({type(error).__name__})")


def _judged(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict()
    if 300 <= status < 400:
        return Verdict(f"HTTP {status}, a redirect, which is not followed")
    return Verdict(f"HTTP {status}", is_hopeless=status == GONE)


class Unreachable(Exception):
    """There is no address to send to, or none that may be used."""

    def __init__(self, message: str, *, is_hopeless: bool = False) -> None:
        super().__init__(message)
        self.is_hopeless = is_hopeless


def reachable(host: str, port: int, *, is_private: bool) -> str:
    """An address of the host. Raises Unreachable for one of this machine or a private network, unless allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host} is not known ({type(error).__name__})") from None
    addresses = [str(one[4][0]) for one in found]
    refused = [one for one in addresses if not is_private and not is_public(one)]
    if refused or not addresses:
        raise Unreachable(
            f"{host} leads to {refused[0] if refused else 'no address'}, which is not on the internet; set "
            "allow_private = true for this webhook if it is meant",
        )
    return addresses[0]


def is_public(address: str) -> bool:
    """Neither this machine, nor a private, link-local, shared or reserved network, also where IPv6 wraps it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip.is_global and not ip.is_multicast


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def client() -> httpx.Client:
    """Keeps connections for the deliveries of one round; follows nothing, takes no proxy of the environment."""
    return httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False)
