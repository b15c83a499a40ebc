"""The pages as text. Every foreign word is escaped: a company may be called ``<script>``. No scripts, no pictures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
from collections.abc import Mapping, Sequence
from typing import Any

from exact_source.redaction import masked

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:72rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0;"
    "border-bottom:1px solid #ccc}td{overflow-wrap:anywhere}button{font:inherit;padding:.3rem .9rem;cursor:pointer}"
    "form{margin:0}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Browsers hold the redirect to Exact, and those within its login, against form-action.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none';"
    " form-action 'self' https: http://127.0.0.1:* http://localhost:*"
)
COLUMNS = ("connection", "health", "user", "divisions", "token left", "what is the matter", "")


def page(title: str, body: str) -> str:
    """``title`` is text, ``body`` is HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{words(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<style>{STYLE}</style></head>\n<body><h1>{words(title)}</h1>\n{body}\n</body></html>\n"
    )


def told(title: str, *paragraphs: str, leads_home: bool = False) -> str:
    """A page that says something, each paragraph as text."""
    lines = [f"<p>{words(one)}</p>" for one in paragraphs]
    home = ['<p><a href="/">All connections</a></p>'] if leads_home else []
    return page(title, "\n".join([*lines, *home]))


def connections(listed: Sequence[Mapping[str, Any]], browser: str) -> str:
    """Every connection of the status document, with a button."""
    head = "".join(f'<th scope="col">{words(one)}</th>' for one in COLUMNS)
    rows = "\n".join(_row(one, browser) for one in listed)
    return page(
        "Connections to Exact Online", f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    )


def invitation(connection: str, action: str, browser: str) -> str:
    """The one page that somebody who was invited sees."""
    return page(
        "Connect Exact Online",
        f"<p>You are asked to give consent for the connection <strong>{words(connection)}</strong>: its owner will read"
        " your books in Exact Online. The button leads to Exact Online, where you log in, see what is asked for, and"
        f" agree or refuse.</p>\n{_form(action, 'Connect', browser)}",
    )


def words(text: object) -> str:
    """Foreign text for HTML, on one line, and without what steers the direction of writing."""
    return html.escape("".join(letter if letter.isprintable() else " " for letter in str(text)))


def form_token(browser: str, action: str) -> str:
    """What a form has to bring along: only who knows the cookie of the browser can tell it."""
    return hmac.new(browser.encode(), f"form {action}".encode(), hashlib.sha256).hexdigest()


def _row(one: Mapping[str, Any], browser: str) -> str:
    token = one["token"]
    cells = (
        one["connection"],
        one["health"],
        one["user"] or "",
        len(one["divisions"]) or "",
        f"{token['days_left']:.1f} of 30 days" if token else "",
        masked(one["problem"] or ""),
    )
    return "<tr>" + "".join(f"<td>{words(cell)}</td>" for cell in cells) + f"<td>{_button(one, browser)}</td></tr>"


def _button(one: Mapping[str, Any], browser: str) -> str:
    """None for a connection whose settings are wrong: those are to be mended first."""
    if one["health"] == "misconfigured":
        return ""
    label = "Connect" if one["token"] is None and one["user"] is None else "Reconnect"
    return _form(f"/connections/{one['connection']}/connect", label, browser)


def _form(action: str, label: str, browser: str) -> str:
    return (
        f'<form method="post" action="{html.escape(action)}">'
        f'<input type="hidden" name="token" value="{form_token(browser, action)}">'
        f"<button>{words(label)}</button></form>"
    )
