"""Consent in a browser: the page with all connections, the links of those who were invited, and the answer of Exact."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import NamedTuple

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from exact_source import consent, status
from exact_source.consent import Connected, Question
from exact_source.errors import ConsentWithdrawn, ExactError
from exact_source.invitations import Invitation, Invitations
from exact_source.opening import authorizing
from exact_source.questions import Asked, Mark, Questions, Unfit
from exact_source.redaction import masked
from exact_source.settings import load_settings
from exact_source.web import browsers, pages, paths
from exact_source.web.office import Office

log = logging.getLogger("exact_source")
LARGEST_FORM = 4_096  # bytes
FORM_SECONDS = 10.0  # for a form to arrive
NOT_NOW = "Nothing was connected. Something is wrong on our side; tell who sent you the link, and try again later."
STALE_FORM = (
    "This form was not sent by the page that this browser was shown. Open the page again, with cookies allowed, and"
    " use its button."
)

Endpoint = Callable[[Request], Awaitable[Response]]


class Ask(NamedTuple):
    """A question to put to a browser."""

    connection: str
    browser: str
    invitation: str | None = None


def with_body(act: Callable[[Request, bytes], Response], largest: int = LARGEST_FORM) -> Endpoint:
    """``act`` in a thread of its own, once the body is there; 413 for one that is too large, 408 for one too slow."""

    async def endpoint(request: Request) -> Response:
        body = bytearray()
        try:
            with anyio.fail_after(FORM_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > largest:
                        return PlainTextResponse("too large\n", 413, {"Connection": "close"})
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse("too slow\n", 408, {"Connection": "close"})
        return await run_in_threadpool(act, request, bytes(body))

    return endpoint


class Reception:
    """The pages, and what their buttons do."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def connections(self, request: Request) -> Response:
        """Everything that is configured or stored, with its button."""
        mark = browsers.known(request) or browsers.new_mark()
        try:
            listed = status.document((), self._office.clock.now(), **self._office.places)["connections"]
        except ExactError as error:
            return _sorry(error, 503)
        return browsers.marked(request, browsers.shown(pages.connections(listed, mark)), mark)

    def connect(self, request: Request, body: bytes) -> Response:
        """The button of a connection: off to Exact."""
        name = request.path_params["name"]
        mark = browsers.filled_in(request, body)
        if mark is None:
            return browsers.shown(pages.told("Not sent", STALE_FORM, leads_home=True), 403)
        try:
            if name not in status.known_names(self._office.places):
                return browsers.shown(pages.told("Nothing here", "There is no such connection.", leads_home=True), 404)
            return self._asked(request, Ask(name, mark))
        except ExactError as error:
            return _sorry(error, 409)

    def invited(self, request: Request) -> Response:
        """The one page behind an invitation. Looking at it uses nothing up: mail programs look as well."""
        found = self._invitation(request)
        if isinstance(found, Response):
            return found
        mark = browsers.known(request) or browsers.new_mark()
        text = pages.invitation(found.connection, request.scope["path"], mark)
        return browsers.marked(request, browsers.shown(text), mark)

    def accept(self, request: Request, body: bytes) -> Response:
        """The button behind an invitation."""
        found = self._invitation(request)
        if isinstance(found, Response):
            return found
        mark = browsers.filled_in(request, body)
        if mark is None:
            return browsers.shown(pages.told("Not sent", STALE_FORM), 403)
        try:
            return self._asked(request, Ask(found.connection, mark, found.key))
        except ExactError as error:
            return _not_now(found.connection, error)

    def callback(self, request: Request) -> Response:
        """What Exact sends the browser back with; 404 for anything else that asks for a path nobody knows."""
        query = request.url.query
        state = consent.state_in(query)
        if not state or request.method != "GET":
            return browsers.shown(pages.told("Nothing here", "There is no such page."), 404)
        mark = Mark(state, browsers.known(request) or "")
        now = self._office.clock.now()
        try:
            with closing(Questions(self._office.settings.token_store)) as questions:
                asked = questions.take(mark, request.scope["path"], now)
        except ExactError as error:
            return _unavailable(error)
        if isinstance(asked, Unfit):
            return browsers.shown(pages.told("Not the answer", asked.told), 400)
        try:
            return self._answered(asked, state, query)
        except ExactError as error:
            return _sorry(error, 502) if asked.invitation is None else _not_now(asked.connection, error)

    def _answered(self, asked: Asked, state: str, query: str) -> Response:
        """Trades the code for a token, as ``exact-source connect`` does. An invitation is used up by that alone."""
        office = self._office
        settings = load_settings(asked.connection, **office.places)
        try:
            code = Question(settings, office.clock, asked.redirect_uri, state=state).answered(query)
        except ConsentWithdrawn:
            return _refused(asked)
        with ExitStack() as stack:
            if asked.invitation is not None:
                invitations = stack.enter_context(closing(Invitations(office.settings.token_store)))
                used = invitations.use(asked.invitation, office.clock.now())
                if isinstance(used, Unfit):
                    return browsers.shown(pages.told("This link does not work", used.told), 410)
                stack.push(partial(_give_back, invitations, asked.invitation))
            authorizer = stack.enter_context(authorizing(settings, office.clock))
            return _thanks(consent.connect(authorizer, code, asked.redirect_uri), asked)

    def _invitation(self, request: Request) -> Invitation | Response:
        try:
            with closing(Invitations(self._office.settings.token_store)) as invitations:
                found = invitations.find(request.path_params["token"], self._office.clock.now())
        except ExactError as error:
            return _unavailable(error)
        if isinstance(found, Unfit):
            return browsers.shown(pages.told("This link does not work", found.told), 404)
        return found

    def _asked(self, request: Request, ask: Ask) -> Response:
        """Writes the question down and sends the browser to Exact with it."""
        office = self._office
        settings = load_settings(ask.connection, **office.places)
        uri = paths.callback_uri(settings, office.port)
        paths.check_origin(uri, request.headers.get("host", ""))
        question = Question(settings, office.clock, uri)
        with closing(Questions(office.settings.token_store)) as questions:
            mark = Mark(consent.state_in(question.url), ask.browser)
            questions.ask(mark, Asked(ask.connection, uri, ask.invitation), office.clock.now())
        return RedirectResponse(question.url, 303)


def _give_back(invitations: Invitations, key: str, kind: object, *_: object) -> None:
    """An invitation that led to an error is good again."""
    if kind is not None:
        invitations.give_back(key)


def _thanks(connected: Connected, asked: Asked) -> Response:
    who = connected.full_name or connected.user_name or "an unknown user"
    count = len(connected.divisions)
    if connected.warning:
        log.warning("connection %s: %s", connected.connection, masked(connected.warning))
    lines = [f"{connected.connection} is connected, with the consent of {who} for {count} division{'s'[: count != 1]}."]
    if asked.invitation is not None:
        return browsers.shown(pages.told("Thank you", *lines, "You may close this page."))
    if connected.warning:
        lines.append(masked(connected.warning))
    return browsers.shown(pages.told("Connected", *lines, leads_home=True))


def _refused(asked: Asked) -> Response:
    """The person said no."""
    if asked.invitation is None:
        return browsers.shown(pages.told("No consent", "Nothing was connected.", leads_home=True))
    return browsers.shown(
        pages.told("No consent", "Nothing was connected. If you change your mind, open the link again.")
    )


def _unavailable(error: ExactError) -> Response:
    """Whoever asks here is not known, and is told nothing of the store."""
    log.warning("%s", masked(str(error)))
    return browsers.shown(pages.told("Not now", "Nothing was connected. Try again in a few minutes."), 503)


def _not_now(connection: str, error: ExactError) -> Response:
    """Who was invited is told nothing of our settings; who runs the server is."""
    log.warning("connection %s: an invitation led to nothing: %s", connection, masked(str(error)))
    return browsers.shown(pages.told("Not connected", NOT_NOW), 502)


def _sorry(error: ExactError, status_code: int) -> Response:
    return browsers.shown(pages.told("Not possible", masked(str(error)), leads_home=True), status_code)
