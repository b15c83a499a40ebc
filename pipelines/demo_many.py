"""Three companies with an Exact of their own, five divisions, two things wrong: how a night of many runs looks.

``make demo-many`` runs this. Everything is real but Exact: three sandboxes serve on sockets, three consents are given,
settings stand in files, alerts go to a receiver on this machine. All of it stays in the folder ``demo_many``: go there
and look at it. Ends with 0 when the run ended as it should, with the worst exit code of its parts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx

COMPANIES = {"bakery": 2, "garage": 1, "shop": 2}  # connections, and the divisions each reads
RECONNECT = 3  # the worst there is: a person has to give consent again
ENTITIES = ["accounts", "gl_accounts", "items", "sales_invoices", "transaction_lines"]
CONFIG = """# Written by `make demo-many`.
[sources.exact_online]
entities = {entities}
database = "books.duckdb"
dataset = "{{connection}}"
plain_tokens = true   # a demo: the tokens of make-believe companies

[runtime]
log_level = "CRITICAL"
dlthub_telemetry = false
"""
SECTION = """
[sources.exact_online.connections.{name}]
base_url = "{url}"
client_id = "{client_id}"
redirect_uri = "{redirect_uri}"
divisions = {divisions}
schedule = "30 4 * * *"
tags = ["nightly"]
metadata = {{ customer = "{name}", contact = "controller@{name}.example" }}
"""
SECRETS = """[[sources.exact_online.alerts]]
url = "{alerts}"
kind = "slack"
"""
APP_SECRETS = """
[sources.exact_online.connections.{name}]
client_secret = "{client_secret}"
"""


@dataclass(frozen=True)
class Company:
    """A make-believe Exact Online and what its app is called."""

    name: str
    app: dict[str, Any]
    divisions: list[int]

    def order(self, what: str, **details: Any) -> None:
        """Something happens at Exact: see ``exact-source sandbox --help``."""
        httpx.post(f"{self.app['url']}/_sandbox/{what}", json=details).raise_for_status()


class Receiver(BaseHTTPRequestHandler):
    """Takes messages as Slack does."""

    told: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append(message["text"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def main(folder: Path) -> int:
    """Founds the companies, runs all connections, and shows what is told of it."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / ".dlt").mkdir(parents=True)
    with ExitStack() as stack:
        companies = [stack.enter_context(founded(name, number)) for name, number in COMPANIES.items()]
        write_settings(folder, companies, stack.enter_context(listening()))
        for company in companies:
            consent(folder, company)
        go_wrong(companies)
        code = show(folder, "run", "--all-connections")
        print(f"\nexit code {code}, the worst of the three connections")
        show(folder, "status")
        show(folder, "logs", "--status", "error", "--limit", "5")
        show(folder, "alerts", "list")
        print("\nwhat a Slack channel was told:\n")
        print("\n\n".join(Receiver.told))
    return 0 if code == RECONNECT else code or 1


@contextmanager
def founded(name: str, number: int) -> Iterator[Company]:
    """A sandbox in a process of its own, with other books than the others."""
    seed = str(list(COMPANIES).index(name) + 1)
    command = [*SOURCE, "sandbox", "--port", "0", "--seed", seed, "--auto-consent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            app = json.loads(process.stdout.readline() if process.stdout else "")
            yield Company(name, app, app["divisions"][:number])
        finally:
            process.terminate()


@contextmanager
def listening() -> Iterator[str]:
    """The address that stands for a Slack channel."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/demo"
    server.shutdown()
    server.server_close()


def write_settings(folder: Path, companies: Sequence[Company], alerts: str) -> None:
    """What a firm with three customers would write down, secrets apart."""
    config, secrets = CONFIG.format(entities=json.dumps(ENTITIES)), SECRETS.format(alerts=alerts)
    for one in companies:
        config += SECTION.format(name=one.name, **{**one.app, "divisions": one.divisions})
        secrets += APP_SECRETS.format(name=one.name, **one.app)
    (folder / ".dlt" / "config.toml").write_text(config, "utf-8")
    (folder / ".dlt" / "secrets.toml").write_text(secrets, "utf-8")


def consent(folder: Path, company: Company) -> None:
    """Says yes in place of a person and a browser: opens the address, and pastes the one that it leads to."""
    command = [*SOURCE, "connect", "--connection", company.name, "--paste"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment(folder), text=True, **pipes) as process:
        asked = process.stdout.readline().strip() if process.stdout else ""
        process.communicate(httpx.get(asked).headers["Location"] + "\n")
    print(f"{company.name}: consent given, divisions {', '.join(map(str, company.divisions))}")


def go_wrong(companies: Sequence[Company]) -> None:
    """The garage shuts our app out, and the shop's second division is blocked."""
    by_name = {one.name: one for one in companies}
    by_name["garage"].order("fault", fault="consent_withdrawn")
    shop = by_name["shop"]
    blocked = f"/api/v1/{shop.divisions[1]}/"
    shop.order("fault", fault="forbidden", path=blocked, reason="DivisionBlocked", times=1000)


def show(folder: Path, *arguments: str) -> int:
    """Runs a command as a person would, and gives its exit code."""
    print(f"\n$ exact-source {' '.join(arguments)}\n", flush=True)
    return subprocess.run([*SOURCE, *arguments], cwd=folder, env=environment(folder), check=False).returncode


def environment(folder: Path) -> dict[str, str]:
    """A home of its own: nothing of this demo mixes with real connections."""
    return {**os.environ, "XDG_DATA_HOME": str(folder.absolute() / "data")}


SOURCE = [sys.executable, "-m", "exact_source"]

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo_many")))
