"""A server of a desk in a process of its own, and browsers that look at it."""

from __future__ import annotations

import html
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from command_line import Desk
from leaks import WATCH, unheard

TOKEN = WATCH.keep_secret("open-sesame-for-the-tests-0123")
WITH_TOKEN = {"SOURCES__EXACT_ONLINE__SERVE_TOKEN": TOKEN}


@contextmanager
def served(desk: Desk, *arguments: str, hears: str = "", **environment: str) -> Iterator[httpx.Client]:
    """A server, and a client of it that follows no redirect. It has to end well, and to have logged nothing but ``hears``."""
    process = desk.start("serve", "--port", "0", *arguments, **environment)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address, process.communicate(timeout=60)[1]
    try:
        with unheard(), httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    desk.has_kept_its_secrets(stdout + stderr)
    assert (process.returncode, stdout) == (0, "")
    assert hears in stderr if hears else stderr == ""


@dataclass
class Browser:
    """Keeps cookies, sends the forms it is shown, and comes back from Exact to the same server, as through a proxy."""

    client: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookie: str = ""

    def get(self, url: str) -> httpx.Response:
        return self._ask("GET", url)

    def press(self, page: httpx.Response, action: str, **changed: str) -> httpx.Response:
        """Sends the form of a page that leads to ``action``."""
        form = re.search(rf'<form method="post" action="{re.escape(action)}">.*?value="(\w+)"', page.text, re.DOTALL)
        assert form, page.text
        return self._ask("POST", action, {"token": form[1], **changed})

    def press_connect(self, name: str = "default") -> httpx.Response:
        return self.press(self.get("/"), f"/connections/{name}/connect")

    def _ask(self, method: str, url: str, form: dict[str, str] | None = None) -> httpx.Response:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**self.headers, **({"Cookie": jar} if jar else {})}
        answer = self.client.request(method, target, headers=headers, data=form)
        self.client.cookies.clear()  # it may be the client of several browsers, and keeps `Secure` cookies from http
        if "set-cookie" in answer.headers:
            self.set_cookie = answer.headers["set-cookie"]
            name, _, value = self.set_cookie.partition(";")[0].partition("=")
            self.cookies[name] = WATCH.keep_secret(value)
        return answer


def seen(page: httpx.Response) -> str:
    """The text of a page, on one line."""
    body = page.text.partition("<body>")[2]
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", body).split()))
