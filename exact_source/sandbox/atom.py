"""Rows and errors as Atom XML: what Exact answers to a request that does not ask for JSON (§4.1)."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from exact_source.catalogue import Field
from exact_source.sandbox.amsterdam import iso_text
from exact_source.sandbox.pages import Body, Page
from exact_source.sandbox.queries import type_name
from exact_source.sandbox.rendering import Selection, key_text

CONTENT_TYPE = "application/atom+xml;charset=utf-8"
ERROR_TYPE = "application/xml;charset=utf-8"
_HEAD = '<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n'
_METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
_SPACES = (
    'xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
    f'xmlns:m="{_METADATA}" xmlns="http://www.w3.org/2005/Atom"'
)
_SCHEME = "http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"
_RELATED = "http://schemas.microsoft.com/ado/2007/08/dataservices/related/"


def render_feed(selection: Selection, base: str, page: Page, next_link: str | None, updated: str) -> bytes:
    name = selection.endpoint.resource
    parts = [
        f"{_HEAD}<feed xml:base={quoteattr(base.rpartition('/')[0] + '/')} {_SPACES}>",
        f'<title type="text">{name}</title><id>{escape(base)}</id><updated>{updated}</updated>',
        f'<link rel="self" title="{name}" href="{name}" />',
        f"<m:count>{page.count}</m:count>" if page.count is not None else "",
        *(_entry(selection, base, body, updated) for body in page.rows),
        f'<link rel="next" href={quoteattr(next_link)} />' if next_link else "",
        "</feed>",
    ]
    return "".join(parts).encode()


def render_entry(selection: Selection, base: str, body: Body, updated: str) -> bytes:
    entry = _entry(selection, base, body, updated).replace("<entry>", f"<entry {_SPACES}>", 1)
    return (_HEAD + entry).encode()


def render_error(text: str) -> bytes:
    message = f'<message xml:lang="">{escape(text)}</message>'
    return f'{_HEAD}<error xmlns="{_METADATA}"><code></code>{message}</error>'.encode()


def _entry(selection: Selection, base: str, body: Body, updated: str) -> str:
    endpoint = selection.endpoint
    key = tuple(field for name in endpoint.key if (field := endpoint.field(name)))
    uri = base + key_text(key, body)
    links = "".join(
        f'<link rel="{_RELATED}{name}" type="application/atom+xml;type=feed" title="{name}" '
        f"href={quoteattr(endpoint.resource + key_text(key, body) + '/' + name)} />"
        for name in selection.collections
    )
    members = "".join(
        _member(field, body.get(field.name)) for field in endpoint.fields if field.name in selection.names
    )
    return (
        f'<entry><id>{escape(uri)}</id><category term="{type_name(endpoint)}" scheme="{_SCHEME}" />{links}'
        f"<title /><updated>{updated}</updated><author><name /></author>"
        f'<content type="application/xml"><m:properties>{members}</m:properties></content></entry>'
    )


def _member(field: Field, value: Any) -> str:
    kind = "" if field.edm == "Edm.String" else f' m:type="{field.edm}"'
    if value is None:
        return f'<d:{field.name}{kind} m:null="true" />'
    return f"<d:{field.name}{kind}>{escape(_text(field, value))}</d:{field.name}>"


def _text(field: Field, value: Any) -> str:
    if field.edm == "Edm.DateTime":
        return iso_text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
