"""How Exact's OData dialect answers a question, for `strict_exact`: literals, filters, order, pages, rows as text.

No I/O, and nothing of `exact_source`: written from the published fact sheet alone, so that it can judge the connector.
Numbers in brackets name sections of that sheet; `assumed` marks what nobody published.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus
from uuid import UUID
from xml.sax.saxutils import escape, quoteattr

Row = dict[str, Any]
Rank = list[tuple[bool, Any]]

BAD_SYNTAX = "Bad Request - Error in query syntax."
WANTS_SELECT = "Please add a $select or a $top=1 statement to the query string."
WANTS_FILTER = (
    "This endpoint has mandatory filtering applied. A GET request for this endpoint must have a $filter parameter "
    "with one of the following fields in the url: "
)
OPTIONS = ("$orderby", "$filter", "$select", "$inlinecount", "$top", "$skip", "$skiptoken")
PLAIN = "$,'()*!"  # what links leave unescaped [4.5]
WHOLE = frozenset({"Edm.Byte", "Edm.Int16", "Edm.Int32", "Edm.Int64"})
NUMBERS = WHOLE | {"Edm.Double", "Edm.Decimal"}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "gt", "ge", "lt", "le")
}
BINDING = {"or": 1, "and": 2} | dict.fromkeys(COMPARISONS, 3)
FUNCTIONS: dict[str, tuple[str, int, Callable[..., Any]]] = {
    "substringof": ("Edm.Boolean", 2, lambda part, text: part in text),
    "startswith": ("Edm.Boolean", 2, lambda text, part: text.startswith(part)),
    "endswith": ("Edm.Boolean", 2, lambda text, part: text.endswith(part)),
    "trim": ("Edm.String", 1, lambda text: text.strip()),
}


class Raw(str):
    """A JSON number to be written as it stands, so that a test can follow every digit."""


class ODataError(Exception):
    """A refusal in Exact's own words [5]."""

    def __init__(self, status: int = 400, text: str = BAD_SYNTAX, reason: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, {"Reason": reason} if reason else {}


@dataclass(frozen=True, slots=True)
class Table:
    """One resource of every division. `fields` maps names to Edm types in entity order; `Collection` is deferred.

    `page_size` 0 is what its kind has [4.4]: 1,000 for sync and bulk, else 60; None is unpaged.
    `rows` are the starting rows per division; missing members are null and a missing `Timestamp` is assigned.
    `identity` names the stable id by which `upsert` and `delete` find a row (default: `ID`, else the key).
    `envelope`: `auto` [4.3], `array` (never paged), `results`, or `object` (the first row alone).
    `empty_last_page`: a full last page still promises a next one, which turns out empty (assumed).
    """

    path: str
    fields: Mapping[str, str]
    rows: Mapping[int, Sequence[Row]] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    page_size: int | None = 0
    type_name: str = ""
    identity: str = ""
    select_required: bool = False
    filterable: Sequence[str] | None = None
    mandatory_filter: bool = False
    int64_as_number: bool = False
    envelope: str = "auto"
    empty_last_page: bool = False
    entity_type: int | None = None

    def __post_init__(self) -> None:
        service, _, resource = self.path.partition("/")
        is_sync = service.lower() == "sync"
        key = self.key or (("Timestamp",) if is_sync else ("ID",))
        filterable = ("Timestamp", "EntityType")[: 1 + (resource == "Deleted")] if is_sync else None
        size = (1000 if service.lower() in ("sync", "bulk") else 60) if self.page_size == 0 else self.page_size
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "page_size", size)
        object.__setattr__(self, "identity", self.identity or ("ID" if "ID" in self.fields else key[0]))
        object.__setattr__(self, "filterable", filterable if self.filterable is None else self.filterable)
        object.__setattr__(self, "type_name", self.type_name or "Exact.Web.Api.Models." + resource.rpartition("/")[2])

    def row(self, given: Mapping[str, Any]) -> Row:
        """A full row in entity order; an undeclared member is the test's mistake."""
        if unknown := set(given) - set(self.fields):
            raise ValueError(f"{self.path} has no field {sorted(unknown)}")
        return {name: cleaned(edm, given.get(name)) for name, edm in self.fields.items()}

    def edm(self, name: str, at: int) -> str:
        edm = self.fields.get(name, "Collection")
        if edm == "Collection":
            raise ODataError(400, f"No property '{name}' exists in type '{self.type_name}' at position {at}.")
        return edm


def cleaned(edm: str, value: Any) -> Any:
    """A row value as the table keeps it: dates as datetimes, whole milliseconds, GUIDs in lower case."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    return str(value).lower() if edm == "Edm.Guid" and value is not None and not isinstance(value, Raw) else value


class Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""\s*(?:(?P<Guid>guid'[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}')
    |(?P<DateTime>datetime'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?')
    |(?P<String>'(?:[^']|'')*')
    |(?P<Int64>-?\d+L)(?![\w.])|(?P<Int32>-?\d+)(?![\w.])
    |(?P<Double>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?[dDmMfF]?)(?![\w.])
    |(?P<Word>[A-Za-z_][\w/]*+)(?!')|(?P<Mark>[(),])|(?P<Bad>\S))""",
    re.VERBOSE | re.ASCII,
)


def tokens(text: str) -> list[Token]:
    """The words of a filter, key or skip token. A date without its time is refused, as some endpoints do [4.2]."""
    found = ((match, match.lastgroup or "Bad") for match in _TOKEN.finditer(text))
    return [Token(kind, match[kind], match.start(kind)) for match, kind in found]


def literal(token: Token) -> tuple[str | None, Any]:
    """The Edm type (None for null) and comparable value of one literal."""
    kind, text = token.kind, token.text
    if kind == "Word" and text in ("true", "false", "null"):
        return (None, None) if text == "null" else ("Edm.Boolean", text == "true")
    if kind in ("Word", "Mark", "End", "Bad"):
        raise ODataError
    if kind == "Int32" and not -(2**31) <= int(text) < 2**31:  # only a small plain number may go without its L [4.2]
        raise ODataError(400, f"Unrecognized 'Edm.Int32' literal '{text}' at '{token.at}'.")
    inside = text[text.index("'") + 1 : -1].replace("''", "'") if text.endswith("'") else text.rstrip("LdDmMfF")
    try:
        value = datetime.fromisoformat(inside[:26]) if kind == "DateTime" else comparable(f"Edm.{kind}", inside)
    except ValueError:
        raise ODataError from None
    return f"Edm.{kind}", value


def literals(text: str, wanted: Sequence[str]) -> list[Any]:
    """The values of a comma list of literals, which must be of the wanted types: keys and skip tokens."""
    found = tokens(text)
    given = [literal(token) for token in found[::2]]
    if len(found) != 2 * len(wanted) - 1 or any(mark.text != "," for mark in found[1::2]):
        raise ODataError
    pairs = [(edm, want) for (edm, _), want in zip(given, wanted, strict=True)]
    if not all(edm in (None, want) or {edm, want} <= NUMBERS - {"Edm.Int64"} for edm, want in pairs):
        raise ODataError
    return [value for _, value in given]


def comparable(edm: str, value: Any) -> Any:
    """A value as it sorts: GUIDs by SQL Server's byte groups [4.6], numbers exactly."""
    if value is None:
        return None
    if edm == "Edm.Guid":
        raw = UUID(value).bytes_le
        return raw[10:] + raw[8:10] + raw[6:8] + raw[4:6] + raw[:4]
    if edm in WHOLE:
        return int(value)
    return Decimal(str(value)) if edm in NUMBERS else value


def as_literal(edm: str, value: Any) -> str:
    """A value as Exact writes it in links; date fractions lose their trailing zeros [4.5]."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, datetime):
        text = value.isoformat()
        return f"datetime'{text.rstrip('0') if '.' in text else text}'"
    quoted = str(value).replace("'", "''")
    return {"Edm.Guid": f"guid'{value}'", "Edm.String": f"'{quoted}'", "Edm.Int64": f"{value}L"}.get(edm, str(value))


class Term(NamedTuple):
    edm: str | None
    of: Callable[[Row], Any]
    has_field: bool = False


class Filter:
    """A precedence-climbing reading of `$filter`; `matches` judges a row, `used` lists the fields it names."""

    def __init__(self, text: str, table: Table) -> None:
        self._tokens = [*tokens(text), Token("End", "", len(text))]
        self._table, self.used = table, list[str]()
        term = self._expression(1)
        if self._tokens.pop(0).kind != "End":
            raise ODataError
        if term.edm != "Edm.Boolean":
            raise ODataError(400, "Expression of type 'System.Boolean' expected at position 0.")
        self.matches = term.of

    def _expression(self, floor: int) -> Term:
        left = self._operand()
        while BINDING.get(self._tokens[0].text, 0) >= floor:
            word = self._tokens.pop(0)
            left = _joined(word, left, self._expression(BINDING[word.text] + 1))
        return left

    def _operand(self) -> Term:
        token = self._tokens.pop(0)
        if token.text == "(":
            term = self._expression(1)
            self._expect(")")
            return term
        if token.kind != "Word" or token.text in ("true", "false", "null"):
            edm, value = literal(token)
            return Term(edm, lambda row: value)
        if token.text == "not":
            term = _joined(token, self._operand(), Term("Edm.Boolean", lambda row: None))
            return Term("Edm.Boolean", lambda row: not term.of(row))
        return self._call(token) if self._tokens[0].text == "(" else self._field(token)

    def _expect(self, mark: str) -> None:
        if self._tokens.pop(0).text != mark:
            raise ODataError

    def _field(self, token: Token) -> Term:
        edm = self._table.edm(token.text, token.at)
        self.used.append(token.text)
        return Term(edm, lambda row: comparable(edm, row[token.text]), has_field=True)

    def _call(self, token: Token) -> Term:
        if token.text not in FUNCTIONS:
            raise ODataError(400, f"Unknown function '{token.text}' at position {token.at}.")
        edm, arity, body = FUNCTIONS[token.text]
        terms = []
        for before in ("(", ",")[:arity]:
            self._expect(before)
            terms.append(self._expression(1))
        self._expect(")")
        if any(term.edm != "Edm.String" for term in terms):
            raise ODataError(400, f"No applicable function found for '{token.text}' at position {token.at}.")
        return Term(edm, lambda row: _applied(body, [term.of(row) for term in terms]), any(t.has_field for t in terms))


def _applied(body: Callable[..., Any], values: list[Any]) -> Any:
    return None if None in values else body(*values)


def _joined(word: Token, left: Term, right: Term) -> Term:
    kinds = {left.edm, right.edm}
    fits = len(kinds) == 1 or None in kinds or kinds <= NUMBERS
    if word.text not in COMPARISONS:
        fits = kinds == {"Edm.Boolean"}
    elif left.has_field and right.has_field:  # field against field is not offered [4.2]
        raise ODataError
    if not fits:
        pair = " and ".join(f"'{(term.edm or 'null').replace('Edm.', 'System.')}'" for term in (left, right))
        text = f"Operator '{word.text}' incompatible with operand types {pair} at position {word.at}."
        raise ODataError(400, text)
    return Term("Edm.Boolean", lambda row: _holds(word.text, left.of(row), right.of(row)))


def _holds(word: str, left: Any, right: Any) -> bool:
    """Null equals only null, and is neither above nor below anything (assumed)."""
    if word not in COMPARISONS:
        return bool(left and right) if word == "and" else bool(left or right)
    if left is None or right is None:
        return word in ("eq", "ne") and bool(COMPARISONS[word](left is None, right is None))
    return bool(COMPARISONS[word](left, right))


def split_query(raw: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in raw.split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


class Question:
    """The query options of one request, checked against the table they are put to."""

    def __init__(self, pairs: Sequence[tuple[str, str]], table: Table) -> None:
        names = [name for name, _ in pairs if name.startswith("$")]
        self.table, self.sent = table, {name: value for name, value in pairs if name in OPTIONS}
        is_old_style = not table.path.lower().startswith(("sync/", "bulk/"))  # newer endpoints refuse $skip [4.2]
        if len(self.sent) < len(names) or ("$skip" in names and not is_old_style):
            raise ODataError  # an unknown option, or one given twice
        if self.sent.get("$inlinecount", "none") not in ("none", "allpages"):
            raise ODataError
        self.select = self._select()
        self.top, self.skip = self._whole("$top"), self._whole("$skip")
        self.filter = Filter(self.sent["$filter"], table) if "$filter" in self.sent else None
        self.order = self._order()
        wanted = [table.fields[name] for name, _ in self.order]
        given = literals(self.sent["$skiptoken"], wanted) if "$skiptoken" in self.sent else None
        self.after = None if given is None else [(value is not None, value) for value in given]

    def _select(self) -> Iterable[str]:
        names = [name.strip() for name in self.sent.get("$select", "*").split(",")]
        for name in names:
            if name != "*" and name not in self.table.fields:
                raise ODataError(400, f"Could not find a property named '{name}' on type '{self.table.type_name}'.")
        return self.table.fields if "*" in names else names

    def _whole(self, option: str) -> int | None:
        text = self.sent.get(option)
        if text is not None and not re.fullmatch(r"[0-9]{1,9}", text):
            raise ODataError
        return None if text is None else int(text)

    def _order(self) -> list[tuple[str, bool]]:
        """Fields with `is descending`; the key breaks ties."""
        order = []
        for match in re.finditer(r"\s*([^,]+)", self.sent.get("$orderby", "")):
            name, *way = match[1].split() or [""]
            self.table.edm(name, match.start(1))
            if way not in ([], ["asc"], ["desc"]):
                raise ODataError
            order.append((name, way == ["desc"]))
        return order + [(name, False) for name in self.table.key if name not in dict(order)]

    def check_demands(self) -> None:
        """What a list must and may not ask: `$select` [4.2], the filter whitelist and mandatory filtering [3.5]."""
        table, used = self.table, self.filter.used if self.filter else []
        if table.select_required and "$select" not in self.sent and self.top != 1:
            raise ODataError(400, WANTS_SELECT)
        fields = table.fields if table.filterable is None else table.filterable
        if refused := [name for name in dict.fromkeys(used) if name not in fields]:
            raise ODataError(400, f"Filtering on these fields is not supported: {','.join(refused)}")
        if table.mandatory_filter and not used:
            raise ODataError(400, f"{WANTS_FILTER}{', '.join(fields)}.")

    def key_of(self, row: Row) -> list[Any]:
        return [comparable(self.table.fields[name], row[name]) for name in self.table.key]

    def chosen(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if self.filter is None or self.filter.matches(row)]

    def following(self, rows: Sequence[Row]) -> list[Row]:
        """The rows past the skip token, in order; nulls come first, as SQL Server has it."""
        kinds = [(name, self.table.fields[name]) for name, _ in self.order]
        ranked = [([(row[name] is not None, comparable(edm, row[name])) for name, edm in kinds], row) for row in rows]
        if self.after is not None:
            ranked = [item for item in ranked if self._is_past(item[0], self.after)]
        for index, (_, is_descending) in reversed(list(enumerate(self.order))):
            ranked.sort(key=lambda item: item[0][index], reverse=is_descending)
        return [row for _, row in ranked][self.skip or 0 :]

    def _is_past(self, rank: Rank, mark: Rank) -> bool:
        for mine, theirs, (_, is_descending) in zip(rank, mark, self.order, strict=True):
            if mine != theirs:
                return bool(mine < theirs) if is_descending else bool(mine > theirs)
        return False


class Page(NamedTuple):
    rows: list[Row]
    next: str | None
    total: int | None
    is_bare: bool


def page_of(ask: Question, rows: Sequence[Row], url: str) -> Page:
    """One reply's rows and the link to the rest: keyset paging over whatever the table holds right now [4.5]."""
    table, chosen = ask.table, ask.chosen(rows)
    size = None if table.envelope in ("array", "object") else table.page_size
    left = ask.following(chosen)
    shown = left[: min((limit for limit in (ask.top, size) if limit is not None), default=len(left))]
    is_paged = size is not None and (ask.top is None or ask.top > size)
    has_more = len(left) > len(shown) or (table.empty_last_page and len(shown) == size)
    link = next_link(ask, shown, url) if is_paged and has_more and shown else None
    total = len(chosen) if ask.sent.get("$inlinecount") == "allpages" else None
    is_bare = table.envelope == "auto" and ask.top is not None and not is_paged and total is None
    return Page(shown, link, total, is_bare or table.envelope == "array")


def next_link(ask: Question, shown: Sequence[Row], url: str) -> str:
    """`$skip` goes, `$top` counts down, commas, quotes and `$` stay plain, colons and spaces are escaped [4.5]."""
    mark = ",".join(as_literal(ask.table.fields[name], shown[-1][name]) for name, _ in ask.order)
    top = {} if ask.top is None else {"$top": str(ask.top - len(shown))}
    sent = {**ask.sent, **top, "$skiptoken": mark}
    kept = (f"{name}={quote(sent[name], safe=PLAIN)}" for name in OPTIONS if name in sent and name != "$skip")
    return f"{url}?{'&'.join(kept)}"


def value_json(value: Any, edm: str, *, as_number: bool = False) -> str:
    """One member. A date is Amsterdam's wall clock written as if it were UTC; an Int64 is a string [4.7, 4.8]."""
    if value is None or isinstance(value, Raw):
        return value or "null"
    if isinstance(value, datetime):
        return f'"/Date({(value - datetime(1970, 1, 1)) // timedelta(milliseconds=1)})/"'
    if edm not in NUMBERS:
        return json.dumps(value, ensure_ascii=False)
    if edm == "Edm.Int64" and not as_number:
        return f'"{value}"'
    text = format(value, "f") if isinstance(value, Decimal) else repr(value if isinstance(value, float) else int(value))
    return text.removesuffix(".0") if isinstance(value, float) else text


def row_uri(table: Table, row: Row, url: str) -> str:
    key = ",".join(as_literal(table.fields[name], row[name]) for name in table.key)
    return f"{url}({quote(key, safe=PLAIN)})"


def row_json(ask: Question, row: Row, url: str) -> str:
    """`__metadata` first, then the members in entity order whatever `$select` said."""
    table, uri = ask.table, row_uri(ask.table, row, url)
    members = {"__metadata": json.dumps({"uri": uri, "type": table.type_name})}
    for name in (name for name in table.fields if name in ask.select):
        edm = table.fields[name]
        value = value_json(row[name], edm, as_number=table.int64_as_number)
        members[name] = f'{{"__deferred": {{"uri": "{uri}/{name}"}}}}' if edm == "Collection" else value
    return "{\n" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "\n}"


def page_json(ask: Question, page: Page, url: str) -> str:
    rows = [row_json(ask, row, url) for row in page.rows]
    data = "[\n" + ", ".join(rows) + "\n]"
    if ask.table.envelope == "object":
        data = rows[0] if rows else "null"
    elif not page.is_bare:
        total = "" if page.total is None else f', "__count": "{page.total}"'
        link = "" if page.next is None else f', "__next": {json.dumps(page.next)}'
        data = f'{{\n"results": {data}{total}{link}\n}}'
    return f'{{\n"d" : {data}\n}}'


def page_atom(ask: Question, page: Page, url: str) -> str:
    """A minimal feed: what a client without `Accept: application/json` gets [4.1]."""
    entries = "".join(f"<entry><id>{escape(row_uri(ask.table, row, url))}</id></entry>" for row in page.rows)
    link = "" if page.next is None else f'<link rel="next" href={quoteattr(page.next)} />'
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{entries}{link}</feed>'


def error_text(text: str, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"error": {"code": "", "message": {"lang": "", "value": text}}}, ensure_ascii=False)
    names = 'xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
    return f'<error {names}><code/><message xml:lang="">{escape(text)}</message></error>'
