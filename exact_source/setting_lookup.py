"""Where dlt finds the value of a setting, and how a person writes that place. Secrets stay out of dlt's trace."""

from __future__ import annotations

from collections.abc import Callable

import dlt
from dlt.common.typing import TSecretValue

from exact_source.errors import ConfigurationError


def look_up(path: str, is_secret: Callable[[object], bool] | None) -> object:
    """The value at a dotted path, or None. ``is_secret`` is asked of settings that may be one: no such value may stand
    in config.toml, which people commit.
    """
    try:
        value: object = dlt.secrets.get(path) if is_secret else dlt.config.get(path)
        exposed = _in_the_open(path) if is_secret and value is None else None
    except Exception as error:
        # dlt's own words may repeat the value or the line of the file, so only the kind of error is told.
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}){place(path)}") from None
    if exposed is not None and is_secret and is_secret(exposed):
        raise ConfigurationError(f"{path} is a secret and stands in config.toml; move it to .dlt/secrets.toml")
    return exposed if value is None else value


def _in_the_open(path: str) -> object:
    """A value that should be a secret, wherever it stands. Asked of the providers: `dlt.config` would trace it."""
    *sections, key = path.split(".")
    found = (one.get_value(key, TSecretValue, None, *sections)[0] for one in dlt.config.config_providers)
    return next((value for value in found if value is not None), None)


def place(path: str) -> str:
    """How to write the setting at a path, as the end of a sentence."""
    section, _, key = path.rpartition(".")
    return f"; written as {key} under [{section}] in .dlt/*.toml or as the environment variable {variable(path)}"


def variable(path: str) -> str:
    return path.upper().replace(".", "__")
