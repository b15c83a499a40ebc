"""Notices from end to end: a served sandbox, a real address, subscribing, and runs that read what they hint at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from command_line import Desk, read_json
from exact_notices import SETTING, Posted, listening, receiving
from exact_source.clock import ManualClock
from exact_source.notices import take
from exact_source.sandbox import Options, Sandbox
from leaks import WATCH

BUSY = Options(minutely_limit=100_000, daily_limit=1_000_000, error_limit=0)
ENTITIES = {"SOURCES__EXACT_ONLINE__ENTITIES": "accounts, items, addresses, sales_invoices, sales_invoice_lines"}
TOPICS = ["Accounts", "Items", "SalesInvoices"]
WATCH.keep_secret(Sandbox.webhook_secret)


@dataclass(frozen=True)
class Served:
    """A sandbox on a socket, as the desk of a user wants it."""

    sandbox: Sandbox
    base_url: str
    client_id: str = Sandbox.client_id
    client_secret: str = Sandbox.client_secret
    redirect_uri: str = Sandbox.redirect_uri

    def consent(self, url: str) -> str:
        return self.sandbox.consent(url)

    @property
    def issued_secrets(self) -> list[str]:
        return self.sandbox.issued_secrets


@dataclass(frozen=True)
class Office:
    """A user with a connection to the sandbox, and the address where notices come in."""

    sandbox: Sandbox
    url: str
    posted: Posted
    desk: Desk

    def run(self, *arguments: str) -> Any:
        return self.desk.run(*arguments, **ENTITIES, **{SETTING: Sandbox.webhook_secret})

    def load(self, *arguments: str) -> Any:
        return self.desk.load(*arguments, "--json", **ENTITIES, **{SETTING: Sandbox.webhook_secret})

    def calls(self) -> list[str]:
        """What was asked of Exact since this was asked last, tokens left out."""
        done = [
            f"{one.method} {one.path.removeprefix('/api/v1/')}"
            for one in self.sandbox.requests
            if "oauth2" not in one.path
        ]
        self.sandbox._service.forget_requests()
        return done

    def write(self, method: str, path: str, body: object = None) -> str:
        """A row written by another app of the same user; the key of a new one."""
        asked = {"response_type": "code", "client_id": Sandbox.client_id, "redirect_uri": Sandbox.redirect_uri}
        with httpx.Client(base_url=self.url, trust_env=False, headers={"Accept": "application/json"}) as http:
            told = self.desk.run("request", method, path, "--division", str(self.first), *_data(body), "--raw")
        del asked
        assert told.exit_code == 0, told.output
        return str(told.output)

    @property
    def first(self) -> int:
        return self.sandbox.divisions[0]


def _data(body: object) -> list[str]:
    return []
