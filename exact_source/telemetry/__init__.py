"""OpenTelemetry, when the environment or the host application asks for it: traces, metrics and logs of a connection.

The standard ``OTEL_*`` variables decide. Without them, and without providers of a host, nothing of OpenTelemetry is
imported. It needs the extra ``otel``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from exact_source.clock import Clock
from exact_source.errors import ConfigurationError
from exact_source.events import Event
from exact_source.settings import Settings

SIGNALS = ("traces", "metrics", "logs")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Teller(Protocol):
    """What observes a connection for OpenTelemetry."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


def telemetry(settings: Settings, clock: Clock) -> Teller | None:
    """The observer, or None when nobody asks. Raises ConfigurationError when it is asked for and not installed."""
    if _is_on(os.environ, "OTEL_SDK_DISABLED"):
        return None
    signals = asked(os.environ)
    if not signals and "opentelemetry" not in sys.modules:
        return None
    try:
        # Imported now and not above: half a second that nobody pays who does not ask.
        made: Teller | None = import_module("exact_source.telemetry.observer").observer(settings, clock, signals)
    except ImportError:
        if not signals:
            return None
        raise ConfigurationError(
            "OpenTelemetry is asked for by the environment, but is not installed: pip install 'exact-source[otel]'"
        ) from None
    return made


def asked(environment: Mapping[str, str]) -> frozenset[str]:
    """The signals to export by ourselves: those with an endpoint or an exporter ``otlp``, but for exporter ``none``."""
    return frozenset(signal for signal in SIGNALS if _is_asked(environment, signal.upper()))


def _is_asked(environment: Mapping[str, str], signal: str) -> bool:
    exporters = environment.get(f"OTEL_{signal}_EXPORTER", "").replace(" ", "").lower()
    if exporters:
        return "otlp" in exporters.split(",")
    return bool(environment.get(ENDPOINT) or environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() == "true"
