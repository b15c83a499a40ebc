"""Downloads, streamed to a file or object store: what arrives is complete, or it is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from exact_source.actions.session import Scope
from exact_source.errors import ConfigurationError, Unreadable

PART = ".part"


class Download:
    """Takes a body piece by piece and puts it where it belongs once it is whole."""

    def __init__(self, to: str, size: int | None, *, is_page: bool) -> None:
        self.to, self._size, self._is_page = to, size, is_page
        self.taken = 0
        try:
            self._place, self._path = url_to_fs(to)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"to: {to!r} is no file or URL that can be written ({error})") from None

    def take(self, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        """Writes beside the target; begun anew, it starts over."""
        if headers.get("content-type", "").startswith("text/html") and not self._is_page:
            raise Unreadable("Exact answered with a page instead of the file, such as its login page")
        self.taken = 0
        try:
            with self._place.open(self._path + PART, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                    self.taken += len(piece)
        except OSError as error:
            raise ConfigurationError(f"to: {self.to!r} cannot be written ({error.strerror or error})") from None

    def finish(self) -> None:
        """Moves the file into place. Unreadable when it is not as long as Exact says it is."""
        if self._size is not None and self.taken != self._size:
            raise Unreadable(f"Exact says the file has {self._size} bytes and sent {self.taken}; it was not kept")
        self._place.mv(self._path + PART, self._path)

    def clear(self) -> None:
        """Leaves nothing behind of what did not arrive."""
        if self._place.exists(self._path + PART):
            self._place.rm(self._path + PART)


def fetch(scope: Scope, link: str, download: Download) -> None:
    """Downloads a link of Exact's to its place."""
    try:
        scope.session.client.download(link, download.take, division=scope.division)
        download.finish()
    finally:
        download.clear()


def content_of(path: str) -> tuple[str, bytes]:
    """Name and content of a file or URL."""
    try:
        place, inside = url_to_fs(path)
        found: Any = place.cat_file(inside)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(f"file: {path!r} cannot be read ({error})") from None
    return Path(inside).name, bytes(found)
