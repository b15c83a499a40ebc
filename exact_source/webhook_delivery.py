"""One POST of a webhook: signed, to an address that was looked at first, and never anywhere else."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from exact_source import signing
from exact_source.webhook_queue import Letter
from exact_source.webhook_settings import Subscription

TIMEOUT = httpx.Timeout(5.0, connect=3.0)
GONE = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """``error`` is None when the receiver took it; ``is_hopeless``: no later try will do."""

    error: str | None = None
    is_hopeless: bool = False


def post(http: httpx.BaseTransport, to: Subscription, letter: Letter, now: datetime) -> Verdict:
    """Tells one change. Never raises for what a network or a receiver may do."""
    body, parts = letter.body.encode(), urlsplit(to.url.reveal())
    host = parts.hostname or ""
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "exact-source",
        "Webhook-Id": letter.id,
        **signing.headers(to.secret, body, now),
    }
    try:
        addresses = reachable(host, is_private=to.allow_private)
        # Sent to the very addresses that were looked at: a name may lead elsewhere a moment later.
        for url in (httpx.URL(to.url.reveal()).copy_with(host=one) for one in addresses):
            try:
                # The certificate must be that of the name.
                asked = {"sni_hostname": host, "timeout": TIMEOUT.as_dict()}
                answer = http.handle_request(
                    httpx.Request("POST", url, headers=headers, content=body, extensions=asked)
                )
                answer.close()  # whatever else it says is not read
                return _judged(answer.status_code)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        return Verdict(f"no connection ({type(failure).__name__})")
    except Unreachable as why:
        return Verdict(str(why))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Verdict(f"no answer ({type(error).__name__})")


def _judged(status: int) -> Verdict:
    if 200 <= status < 300:
        return Verdict()
    if 300 <= status < 400:
        return Verdict(f"HTTP {status}, a redirect, which is not followed")
    return Verdict(f"HTTP {status}", is_hopeless=status == GONE)


class Unreachable(Exception):
    """There is no address to send to, or one that may not be used."""


def reachable(host: str, *, is_private: bool) -> list[str]:
    """The addresses of the host. Raises Unreachable when one is not on the internet, unless that is allowed."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} is not known ({type(error).__name__})") from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    refused = [one for one in addresses if not is_private and not is_public(one)]
    if refused or not addresses:
        raise Unreachable(
            f"{host} leads to {refused[0] if refused else 'no address'}, which is not on the internet; set "
            "allow_private = true for this webhook if it is meant",
        )
    return addresses


def is_public(address: str) -> bool:
    """Neither this machine, nor a private, link-local, shared or reserved network, also where IPv6 wraps it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        return ip in UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast


NAT64, UNICAST = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2000::/3")


def connections() -> httpx.BaseTransport:
    """For one subscription: a connection belongs to an address, and two names may have the same.

    Not a client of httpx, which would write the address into the log, follow redirects and take proxies.
    """
    return httpx.HTTPTransport()
