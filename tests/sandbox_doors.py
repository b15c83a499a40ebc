"""Both ways into a sandbox, for its tests: through httpx's transport and over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx

from exact_source.sandbox import Sandbox

DOORS = ("transport", "socket")


class Visitor:
    """A client of one sandbox, and the tokens it got."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.http = http
        self.tokens: dict[str, str] = {}

    def authorize_url(self, **changes: str) -> str:
        asked = {
            "client_id": self.sandbox.client_id,
            "redirect_uri": self.sandbox.redirect_uri,
            "response_type": "code",
            "state": "s1",
        }
        return str(self.http.base_url.join("/api/oauth2/auth").copy_with(params=asked | changes))

    def code(self, divisions: list[int] | None = None) -> str:
        back = self.sandbox.consent(self.authorize_url(), divisions=divisions)
        return httpx.URL(back).params["code"]

    def ask_token(self, **form: str) -> httpx.Response:
        app = {"client_id": self.sandbox.client_id, "client_secret": self.sandbox.client_secret}
        return self.http.post("/api/oauth2/token", data=app | form)

    def exchange(self, code: str) -> httpx.Response:
        return self.ask_token(grant_type="authorization_code", code=code, redirect_uri=self.sandbox.redirect_uri)

    def refresh(self, token: str | None = None) -> httpx.Response:
        return self.ask_token(grant_type="refresh_token", refresh_token=token or self.tokens["refresh_token"])

    def connect(self, divisions: list[int] | None = None) -> None:
        self.use(self.exchange(self.code(divisions)))

    def use(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()
        self.http.headers["Authorization"] = f"Bearer {self.tokens['access_token']}"

    def get(self, path: str, division: int = 100001) -> httpx.Response:
        return self.http.get(f"/api/v1/{division}/{path}")

    def d(self, path: str, division: int = 100001) -> Any:
        answer = self.get(path, division)
        assert answer.status_code == 200, answer.text
        return answer.json()["d"]

    def rows(self, path: str, division: int = 100001) -> list[dict[str, Any]]:
        """Every row of every page."""
        found: list[dict[str, Any]] = []
        url: str | None = str(self.http.base_url.join(f"/api/v1/{division}/{path}"))
        while url:
            d = self.http.get(url).json()["d"]
            found += d if isinstance(d, list) else d["results"]
            url = None if isinstance(d, list) else d.get("__next")
        return found

    def add_accounts(self, count: int, division: int = 100001) -> None:
        """Accounts besides the three that bare books have, with scattered keys."""
        rows = [
            {"ID": str(UUID(int=number * 7919 << 64 | number)), "Name": f"Account {number}"} for number in range(count)
        ]
        self.sandbox.records.insert(division, "crm/Accounts", rows)

    def error(self, path: str, division: int = 100001) -> tuple[int, str]:
        answer = self.get(path, division)
        return answer.status_code, answer.json()["error"]["message"]["value"]


@contextmanager
def visiting(sandbox: Sandbox, door: str = "transport") -> Iterator[Visitor]:
    """A visitor who came in through a door and asks for JSON."""
    headers = {"Accept": "application/json"}
    if door == "transport":
        with httpx.Client(base_url=sandbox.base_url, transport=sandbox.transport(), headers=headers) as http:
            yield Visitor(sandbox, http)
        return
    with sandbox.serve() as served, httpx.Client(base_url=served.url, headers=headers, trust_env=False) as http:
        yield Visitor(sandbox, http)
