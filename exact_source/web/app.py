"""What is answered at each path. Endpoints are plain functions, which run in threads of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from exact_source import notices, status
from exact_source.errors import ConfigurationError, ExactError
from exact_source.redaction import masked
from exact_source.settings import check_name
from exact_source.status_schema import SCHEMA
from exact_source.tokens import TokenStore
from exact_source.web import paths
from exact_source.web.consenting import Reception, with_body
from exact_source.web.gate import Gate
from exact_source.web.office import Office

LARGEST_NOTICE = 65_536  # bytes; those of Exact have a few hundred
EXIT_CODE = "Exact-Source-Exit-Code"  # of the worst connection, as the status document has it


@dataclass(frozen=True, slots=True)
class Programs:
    """What other programs ask and tell: how connections stand, and what changed in Exact."""

    office: Office

    def health(self, _request: Request) -> Response:
        """Whether the store answers; tells nothing else."""
        try:
            with closing(TokenStore.from_settings(self.office.settings)) as store:
                store.names()
        except ExactError:
            return _json({"status": "unavailable"}, 503)
        return _json({"status": "ok"})

    def status(self, request: Request) -> Response:
        """The document that ``exact-source status --json`` prints."""
        names = request.query_params.getlist("connection")
        try:
            for name in names:
                check_name(name)
        except ConfigurationError as error:
            return _failed(error, 400)
        try:
            told = status.document(names, self.office.clock.now(), **self.office.places)
        except ExactError as error:
            return _failed(error, 503)
        return _json(told, headers={EXIT_CODE: str(told["exit_code"])})

    def schema(self, _request: Request) -> Response:
        return _json(SCHEMA)

    def notice(self, _request: Request, body: bytes) -> Response:
        """What Exact tells of a change; its signature is checked, and 200 said once it is stored."""
        return Response(status_code=notices.take(body, self.office.settings, self.office.clock))


def application(office: Office) -> ASGIApp:
    """All that is served."""
    programs, reception = Programs(office), Reception(office)
    invitation = f"{paths.INVITATIONS}{{token}}"
    routes = [
        Route(paths.HEALTH, programs.health),
        Route(paths.STATUS, programs.status),
        Route(paths.STATUS_SCHEMA, programs.schema),
        Route(paths.CONNECTIONS, reception.connections),
        Route(paths.CONNECT, with_body(reception.connect), methods=["POST"]),
        Route(invitation, reception.invited),
        Route(invitation, with_body(reception.accept), methods=["POST"]),
        Route(paths.NOTICES, with_body(programs.notice, LARGEST_NOTICE), methods=["POST"]),
        Route("/{path:path}", reception.callback),
    ]
    return Gate(Starlette(routes=routes), office.settings.serve_token)


def _failed(error: ExactError, status_code: int) -> Response:
    told = {"error": masked(str(error)), "error_type": type(error).__name__, "exit_code": error.exit_code}
    return _json(told, status_code)


def _json(value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Written as the command line writes it."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return Response(text, status_code, headers, media_type="application/json")
