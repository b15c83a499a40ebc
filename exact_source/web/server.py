"""Listens until it is told to stop. Logs no request: addresses hold codes and invitations."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from exact_source.errors import ConfigurationError
from exact_source.setting_values import is_loopback
from exact_source.settings import Settings
from exact_source.web.app import application
from exact_source.web.office import Office

MOST_CONNECTIONS = 500
LAST_SECONDS = 3  # for requests that are under way when it is told to stop


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; ConfigurationError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({told}); choose another --host or --port, 0 takes a free port"
        ) from None


def check_guarded(host: str, settings: Settings) -> None:
    """ConfigurationError for an address that others can reach while nothing is asked of them."""
    if settings.serve_token is None and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines: write a serve_token of at least 16 characters under"
            " [sources.exact_online] in .dlt/secrets.toml, or leave --host at 127.0.0.1"
        )


def serve(office: Office, listening: socket.socket, tell: Callable[[], None]) -> None:
    """Answers until SIGINT or SIGTERM; ``tell`` is called once both are heard."""
    config = uvicorn.Config(
        application(office),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = uvicorn.Server(config)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    tell()
    server.run(sockets=[listening])
    _leave()


def _leave() -> None:
    """Breaks off what is still under way, such as a consent while Exact does not answer: the store survives kills."""
    others = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    for one in others:
        one.join(1.0 / len(others))
    if any(one.is_alive() for one in others):
        sys.stdout.flush()
        os._exit(0)
