"""The page in the browser where a user lets an app in: ``/api/oauth2/auth`` (§2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from exact_source.sandbox.messages import HTML, Reply, Request
from exact_source.sandbox.options import Options
from exact_source.sandbox.tokens import App, Tokens

Divisions = Callable[[], Iterable[Mapping[str, Any]]]
_ECHOED = ("client_id", "redirect_uri", "response_type", "state")
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Exact Online sandbox: allow access</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}}
label{{display:block}}button{{font:inherit;padding:.4rem 1.2rem;margin-right:.5rem}}</style></head>
<body><h1>Exact Online sandbox</h1><p>App <code>{app}</code> asks for access to your books.</p>
<form method="post"><fieldset><legend>Companies</legend>{divisions}</fieldset>{hidden}
<p><button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button></p></form>
</body></html>"""


class Authorization:
    """Shows the consent page, and sends the browser back with a code or a refusal.

    ``unticked`` are divisions that the user leaves out unless told otherwise.
    """

    def __init__(self, tokens: Tokens, options: Options, user_id: str, divisions: Divisions) -> None:
        self._tokens = tokens
        self._options = options
        self._user_id = user_id
        self._divisions = divisions
        self.unticked: frozenset[int] = frozenset()

    def answer(self, request: Request) -> Reply:
        asked = request.query if request.method == "GET" else request.query | request.form
        app = self._tokens.app(asked.get("client_id", ""))
        redirect_uri = asked.get("redirect_uri", "")
        if app is None or not app.accepts(redirect_uri):
            return _page(401, "<h1>Unauthorized</h1><p>The app or its redirect address is not known.</p>")
        if asked.get("response_type") != "code":
            return _page(400, "<h1>Bad request</h1><p>Only response_type=code is supported here.</p>")
        if request.method == "POST":
            fields = parse_qsl(request.body.decode("utf-8", "replace"))
            chosen = frozenset(int(value) for name, value in fields if name == "division" and value.isdecimal())
            return self._decide(app, asked, is_allowed=asked.get("answer") == "allow", divisions=chosen)
        if self._options.auto_consent:
            return self._decide(app, asked, is_allowed=True, divisions=self.ticked())
        return _page(200, self._form(app, asked))

    def _decide(
        self, app: App, asked: Mapping[str, str], *, is_allowed: bool, divisions: frozenset[int] | None
    ) -> Reply:
        redirect_uri = asked["redirect_uri"]
        if is_allowed:
            everything = frozenset(int(row["Code"]) for row in self._divisions())
            wanted = None if divisions == everything else divisions
            answer = {"code": self._tokens.issue_code(app, redirect_uri, self._user_id, wanted)}
        else:
            answer = {"error": "access_denied"}
        if "state" in asked:
            answer["state"] = asked["state"]
        separator = "&" if "?" in redirect_uri else "?"
        location = redirect_uri + separator + urlencode(answer, quote_via=quote)
        return Reply(302, headers=(("Location", location), ("Cache-Control", "no-store")))

    def ticked(self) -> frozenset[int]:
        """The divisions that the page offers for a yes."""
        return frozenset(int(row["Code"]) for row in self._divisions()) - self.unticked

    def _form(self, app: App, asked: Mapping[str, str]) -> str:
        divisions = "".join(
            f'<label><input type="checkbox" name="division" value="{row["Code"]}"{self._tick(row)}> '
            f"{row['Code']} {escape(str(row.get('Description', '')))}</label>"
            for row in self._divisions()
        )
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(asked[name])}">' for name in _ECHOED if name in asked
        )
        return _PAGE.format(app=escape(app.client_id), divisions=divisions, hidden=hidden)

    def _tick(self, row: Mapping[str, Any]) -> str:
        return "" if row["Code"] in self.unticked else " checked"


def _page(status: int, html: str) -> Reply:
    return Reply(status, html.encode(), (("Content-Type", HTML), ("Cache-Control", "no-store")))
