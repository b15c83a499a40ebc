"""``$filter``: parsed by hand, checked against the endpoint's members, and run over stored rows.

Comparisons follow SQL Server (assumed where unpublished): null is never equal, case and trailing spaces do not matter,
leading spaces do (§4.2, §4.7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exact_source.catalogue import Endpoint, Field
from exact_source.sandbox.filter_functions import ARITHMETIC, COMPARISONS, FUNCTIONS, MIRRORED, Function, fold
from exact_source.sandbox.literals import NULL, NUMERIC, Literal, number_literal, quoted_literal, word_literal
from exact_source.sandbox.messages import Refusal, bad_query

Row = Mapping[str, Any]
Run = Callable[[Row], Any]
_TRUTH = "Edm.Boolean"
_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>(?P<prefix>[a-zA-Z]*)'(?P<text>(?:[^']|'')*)')"
    r"|(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[lLfFdDmM]?(?![\w]))"
    r"|(?P<word>[A-Za-z_][\w/]*)|(?P<mark>[(),-]))"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``member operator value``: something that must hold for the whole filter to hold."""

    member: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of the filter: its type, how to compute it, and what the store may use to skip rows."""

    edm: str
    run: Run
    member: Field | None = None
    literal: Literal | None = None
    facts: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole ``$filter``: the test, the members it names, and comparisons that follow from it."""

    run: Run
    members: tuple[str, ...]
    facts: tuple[Comparison, ...]

    def matches(self, row: Row) -> bool:
        return self.run(row) is True


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int
    literal: Literal | None = None


def parse_filter(text: str, endpoint: Endpoint, type_name: str) -> Filter:
    """Read a filter on an endpoint. A refusal with Exact's text when it cannot be understood."""
    parser = _Parser(_tokens(text), endpoint, type_name)
    try:
        term = parser.whole()
    except RecursionError:
        raise bad_query() from None
    return Filter(term.run, tuple(dict.fromkeys(parser.members)), term.facts)


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise bad_query()
        found.append(_token(match))
        position = match.end()
    return found


def _token(match: re.Match[str]) -> _Token:
    kind = next(name for name in ("quoted", "number", "word", "mark") if match[name] is not None)
    text, position = match[kind], match.start(kind)
    if kind == "quoted":
        return _Token("literal", text, position, quoted_literal(match["prefix"], match["text"]))
    if kind == "number":
        return _Token("literal", text, position, number_literal(text))
    literal = word_literal(text) if kind == "word" else None
    return _Token("literal", text, position, literal) if literal else _Token(kind, text, position)


class _Parser:
    """Recursive descent; the loosest binding first."""

    def __init__(self, tokens: list[_Token], endpoint: Endpoint, type_name: str) -> None:
        self._tokens = tokens
        self._next = 0
        self._endpoint = endpoint
        self._type_name = type_name
        self.members: list[str] = []

    def whole(self) -> Term:
        term = self._either()
        if self._next < len(self._tokens) or term.edm != _TRUTH:
            raise bad_query()
        return term

    def _either(self) -> Term:
        terms = [self._both()]
        while self._accept("word", "or"):
            terms.append(self._both())
        return _or(terms) if len(terms) > 1 else terms[0]

    def _both(self) -> Term:
        terms = [self._compared()]
        while self._accept("word", "and"):
            terms.append(self._compared())
        return _and(terms) if len(terms) > 1 else terms[0]

    def _compared(self) -> Term:
        left = self._sum()
        while token := self._accept("word", *COMPARISONS):
            left = _compare(token, left, self._sum())
        return left

    def _sum(self) -> Term:
        left = self._product()
        while token := self._accept("word", "add", "sub"):
            left = _arithmetic(token, left, self._product())
        return left

    def _product(self) -> Term:
        left = self._unary()
        while token := self._accept("word", "mul", "div", "mod"):
            left = _arithmetic(token, left, self._unary())
        return left

    def _unary(self) -> Term:
        if self._accept("word", "not"):
            return _not(_truth(self._unary()))
        if self._accept("mark", "-"):
            return _minus(self._unary())
        return self._single()

    def _single(self) -> Term:
        if self._accept("mark", "("):
            term = self._either()
            self._expect(")")
            return term
        token = self._take()
        if token.literal is not None:
            return _constant(token.literal)
        if token.kind != "word":
            raise bad_query()
        if self._accept("mark", "("):
            return self._call(token)
        return self._member(token)

    def _call(self, token: _Token) -> Term:
        function = FUNCTIONS.get(token.text)
        if function is None:
            raise bad_query(f"Unknown function '{token.text}' at position {token.position}.")
        arguments: list[Term] = []
        while not self._accept("mark", ")"):
            if arguments:
                self._expect(",")
            arguments.append(self._either())
        return _apply(function, arguments)

    def _member(self, token: _Token) -> Term:
        member = self._endpoint.field(token.text)
        if member is None:
            if "/" in token.text:
                raise bad_query()
            raise bad_query(
                f"No property '{token.text}' exists in type '{self._type_name}' at position {token.position}."
            )
        self.members.append(member.name)
        name = member.name
        return Term(member.edm, lambda row: row.get(name), member=member)

    def _take(self) -> _Token:
        if self._next >= len(self._tokens):
            raise bad_query()
        self._next += 1
        return self._tokens[self._next - 1]

    def _accept(self, kind: str, *texts: str) -> _Token | None:
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.kind == kind and token.text in texts:
                self._next += 1
                return token
        return None

    def _expect(self, mark: str) -> None:
        if not self._accept("mark", mark):
            raise bad_query()


def _truth(term: Term) -> Term:
    if term.edm != _TRUTH:
        raise bad_query()
    return term


def _constant(literal: Literal) -> Term:
    value = literal.value
    return Term(literal.edm, lambda _row: value, literal=literal)


def _or(terms: list[Term]) -> Term:
    runs = [_truth(term).run for term in terms]

    def run(row: Row) -> bool | None:
        is_unknown = False
        for one in runs:
            value = one(row)
            if value is True:
                return True
            is_unknown = is_unknown or value is None
        return None if is_unknown else False

    return Term(_TRUTH, run)


def _and(terms: list[Term]) -> Term:
    runs = [_truth(term).run for term in terms]

    def run(row: Row) -> bool | None:
        is_unknown = False
        for one in runs:
            value = one(row)
            if value is False:
                return False
            is_unknown = is_unknown or value is None
        return None if is_unknown else True

    return Term(_TRUTH, run, facts=tuple(fact for term in terms for fact in term.facts))


def _not(term: Term) -> Term:
    def run(row: Row) -> bool | None:
        value = term.run(row)
        return None if value is None else not value

    return Term(_TRUTH, run)


def _minus(term: Term) -> Term:
    if term.edm not in NUMERIC:
        raise bad_query()

    def run(row: Row) -> Any:
        value = term.run(row)
        return None if value is None else -value

    return Term(term.edm, run)


def _compare(token: _Token, left: Term, right: Term) -> Term:
    if left.member and right.member:
        raise bad_query()
    if not _comparable(left.edm, right.edm):
        raise _incompatible(token, left, right)
    if NULL in {left.edm, right.edm}:
        return _null_test(token.text, right if left.edm == NULL else left)
    test = COMPARISONS[token.text]
    is_text = left.edm == "Edm.String"
    one, other = (_folded(left), _folded(right)) if is_text else (left.run, right.run)

    def run(row: Row) -> bool | None:
        a, b = one(row), other(row)
        return None if a is None or b is None else test(a, b)

    return Term(_TRUTH, run, facts=_facts(token.text, left, right))


def _folded(term: Term) -> Run:
    if term.literal is not None:
        value = fold(str(term.literal.value))
        return lambda _row: value
    run = term.run

    def folded(row: Row) -> str | None:
        value = run(row)
        return None if value is None else fold(value)

    return folded


def _null_test(name: str, term: Term) -> Term:
    run = term.run
    if name == "eq":
        return Term(_TRUTH, lambda row: run(row) is None)
    if name == "ne":
        return Term(_TRUTH, lambda row: run(row) is not None)
    return Term(_TRUTH, lambda _row: None)


def _facts(name: str, left: Term, right: Term) -> tuple[Comparison, ...]:
    if left.member and right.literal:
        return (Comparison(left.member.name, name, right.literal.value),)
    if right.member and left.literal:
        return (Comparison(right.member.name, MIRRORED[name], left.literal.value),)
    return ()


def _comparable(left: str, right: str) -> bool:
    if NULL in {left, right}:
        return True
    return left == right or (left in NUMERIC and right in NUMERIC)


def _incompatible(token: _Token, left: Term, right: Term) -> Refusal:
    types = [term.edm.replace("Edm.", "System.") for term in (left, right)]
    return bad_query(
        f"Operator '{token.text}' incompatible with operand types '{types[0]}' and '{types[1]}' "
        f"at position {token.position}."
    )


def _arithmetic(token: _Token, left: Term, right: Term) -> Term:
    if left.edm not in NUMERIC or right.edm not in NUMERIC:
        raise _incompatible(token, left, right)
    calculate = ARITHMETIC[token.text]

    def run(row: Row) -> Any:
        a, b = left.run(row), right.run(row)
        return None if a is None or b is None else calculate(a, b)

    return Term("Edm.Double", run)


def _apply(function: Function, arguments: list[Term]) -> Term:
    least = len(function.arguments) - function.optional
    if not least <= len(arguments) <= len(function.arguments):
        raise bad_query()
    for wanted, given in zip(function.arguments, arguments, strict=False):
        if not _comparable(wanted, given.edm):
            raise bad_query()

    def run(row: Row) -> Any:
        values = [argument.run(row) for argument in arguments]
        return None if None in values else function.run(*values)

    return Term(function.result, run)
