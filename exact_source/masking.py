"""Text that came from elsewhere, made fit to be shown: without what may be a secret or steers a terminal. No I/O."""

from __future__ import annotations

import re

# Tokens are longer than any word or path segment; an address may hold a password.
_LONG = re.compile(r"[\w.!~+=-]{60,}")
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


def masked(text: str) -> str:
    """The text without what may be a secret, and without anything that steers a terminal."""
    text = _LONG.sub("***", _PASSWORD.sub(r"\1:***@", text))
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
