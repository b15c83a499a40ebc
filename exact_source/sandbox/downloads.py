"""The files behind ``Url``: attachments, with ``&Download=1`` byte for byte, and the viewer of a document (§11)."""

from __future__ import annotations

from mimetypes import guess_type
from urllib.parse import quote

from exact_source.sandbox.attachments import DOCUMENTS, DOWNLOAD, VIEWER, content_of
from exact_source.sandbox.messages import HTML, Refusal, Reply, Request
from exact_source.sandbox.records import Records
from exact_source.sandbox.storage import Storage

DOCS = "/docs/"
_VIEWER = b"<!DOCTYPE html><html><head><title>Document</title></head><body><h1>Document</h1></body></html>"
_GONE = b"<!DOCTYPE html><html><head><title>404</title></head><body><h1>Not found</h1></body></html>"


class Downloads:
    """Answers below ``/docs/``."""

    def __init__(self, storage: Storage, records: Records) -> None:
        self._storage = storage
        self._records = records

    def division(self, request: Request) -> int:
        text = request.query.get("_Division_", "")
        return int(text) if text.isdecimal() else 0

    def answer(self, request: Request) -> Reply:
        """A file, or a page about it."""
        division, key = self.division(request), request.query.get("ID", "").strip("{}").lower()
        try:
            return self._found(request, division, key)
        except ValueError:
            return _gone()

    def _found(self, request: Request, division: int, key: str) -> Reply:
        if request.method != "GET":
            raise Refusal(405, f"Method {request.method} is not allowed.")
        if request.path == VIEWER and self._records.get(division, DOCUMENTS, key) is not None:
            return Reply(200, _VIEWER, (("Content-Type", HTML),))
        found = content_of(self._storage, self._records, division, key) if request.path == DOWNLOAD else None
        if found is None:
            return _gone()
        name, content = found
        if request.query.get("Download") != "1":
            return Reply(200, _VIEWER, (("Content-Type", HTML),))
        kind = guess_type(name)[0] or "application/octet-stream"
        named = f"attachment; filename*=UTF-8''{quote(name)}"
        return Reply(200, content, (("Content-Type", kind), ("Content-Disposition", named)))


def _gone() -> Reply:
    return Reply(404, _GONE, (("Content-Type", HTML),))
