"""A sandbox in a process of its own, and a home that is connected to it by ``exact-source connect``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Home:
    """One user's home, and the address, app and divisions of the sandbox that it is connected to."""

    folder: Path
    told: Mapping[str, Any]
    store: str

    @property
    def divisions(self) -> list[int]:
        return list(self.told["divisions"])

    @property
    def database(self) -> Path:
        return self.folder / "books.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "BASE_URL": self.told["url"],
            "CLIENT_ID": self.told["client_id"],
            "CLIENT_SECRET": self.told["client_secret"],
            "REDIRECT_URI": self.told["redirect_uri"],
            "TOKEN_STORE": self.store,
            "DATABASE": str(self.database),
            "PLAIN_TOKENS": "true",
        }
        return {
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "DAGSTER_HOME": str(self.folder),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'pipelines'}",
            **{f"SOURCES__EXACT_ONLINE__{name}": value for name, value in settings.items()},
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, **self.environment},
        )

    def connect(self, connection: str = "default") -> None:
        """Consent by the paste, as on a server; the sandbox's page agrees by itself."""
        process = self.start("exact_source", "connect", "--paste", "--connection", connection)
        assert process.stdout is not None
        address = httpx.get(process.stdout.readline().strip(), trust_env=False).headers["Location"]
        told = process.communicate(address + "\n", timeout=60)
        assert process.returncode == 0, told

    def order(self, name: str, **what: Any) -> None:
        """Steers the sandbox: a fault, ``heal``, ``advance``."""
        answer = httpx.post(f"{self.told['url']}/_sandbox/{name}", json=what, trust_env=False)
        assert answer.is_success, answer.text

    def asked(self) -> list[dict[str, Any]]:
        """What Exact was asked so far."""
        found: list[dict[str, Any]] = httpx.get(f"{self.told['url']}/_sandbox/requests", trust_env=False).json()
        return found


@contextmanager
def sandboxed(folder: Path, scale: str = "small") -> Iterator[Home]:
    """A served sandbox and a connected home, for as long as the context lasts."""
    command = [sys.executable, "-m", "exact_source", "sandbox", "--scale", scale, "--auto-consent"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        try:
            assert process.stdout is not None
            home = Home(folder, json.loads(process.stdout.readline()), f"sqlite:///{folder / 'tokens.db'}")
            home.connect()
            yield home
        finally:
            process.terminate()
