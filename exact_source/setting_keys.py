"""Which keys are written under ``[sources.exact_online]`` and where, and which of them are no settings.

Looks into dlt's toml files and the environment, which are the places that can be listed; what a vault holds is only
found when it is asked for by name. Values are never looked at.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.providers import CustomLoaderDocProvider

from exact_source.errors import ConfigurationError, UnknownName

SECTIONS = ("sources", "exact_online")
CONNECTIONS = "connections"
# What dlt 1.31 reads here for itself, also below the name of the source once more (observed 2026-11). It does not read
# max_table_nesting, nor anything by resource: https://dlthub.com/docs/reference/performance
OF_DLT = ("extract", "data_writer")
OF_SCHEMA = "schema"  # naming and normalizer, which belong to the schema and so stand here only
# Settings to come; their names are taken.
RESERVED = frozenset[str]()
_PREFIX = "__".join((*SECTIONS, "")).upper()


@dataclass(frozen=True, slots=True)
class Key:
    """A key below our section: ``("region",)``, ``("connections", "shop", "region")``; and the file or variable."""

    path: tuple[str, ...]
    place: str
    is_table: bool = False

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def told(self) -> str:
        dotted = ".".join((*SECTIONS, *self.path))
        return self.place if self.place.startswith(_PREFIX) else f"{dotted} (in {self.place})"


def connection_names(known: Collection[str], stored: Iterable[str] = ()) -> tuple[str, ...]:
    """The connections that have a section or a variable of their own. ``known``: the names of all settings.

    A variable cannot hold a dash, so MY_SHOP is ``my-shop`` where there is such a connection.
    """
    keys = [key for key in _keys(known) if key.path[0] == CONNECTIONS and len(key.path) > 1]
    in_files = {key.path[1]: None for key in keys if not key.place.startswith(_PREFIX)}
    plain = {name.replace("-", "_"): name for name in (*stored, *in_files)}
    in_variables = {key.path[1] for key in keys if key.place.startswith(_PREFIX)}
    return tuple(sorted({*in_files, *(plain.get(name, name) for name in in_variables)}))


def check(connection: str, known: Collection[str]) -> None:
    """UnknownName for a key of the defaults or of this connection that is no setting; it may be a slip of the pen."""
    own = {connection, connection.replace("-", "_")}
    for key in _keys(known):
        if key.path[0] != CONNECTIONS:
            _check_default(key, known)
        elif len(key.path) < 3:
            _check_connection(key)
        elif key.path[1] in own:
            _check_name(key, known)


def _check_default(key: Key, known: Collection[str]) -> None:
    is_nested = key.path[0] == SECTIONS[-1] and len(key.path) > 1
    is_of_dlt = key.path[1] in OF_DLT if is_nested else key.path[0] in (*OF_DLT, OF_SCHEMA)
    if not is_of_dlt:
        _check_name(key, {*known, CONNECTIONS})


def _check_connection(key: Key) -> None:
    """What stands directly under ``connections`` is the table of one connection."""
    if not key.is_table:
        raise ConfigurationError(
            f"{key.told} is not the table of a connection; write [{'.'.join((*SECTIONS, CONNECTIONS))}.NAME] and its"
            " settings below"
        )


def _check_name(key: Key, known: Collection[str]) -> None:
    names = {*known, *RESERVED}
    at = 2 if key.path[0] == CONNECTIONS else 0
    if key.path[at] in names and len(key.path) == at + 1:
        return
    if key.path[at] in names:  # SOURCES__EXACT_ONLINE__METADATA__OWNER
        whole = key.place.rpartition(f"__{key.name.upper()}")[0]
        raise UnknownName(f"{key.place} is not read; write the whole table as a JSON object into {whole}")
    near = difflib.get_close_matches(key.path[at], sorted(names - RESERVED), n=1, cutoff=0.6)
    cure = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(sorted(known))}"
    raise UnknownName(f"{key.told} is not a setting; {cure}")


def _keys(known: Collection[str]) -> Iterator[Key]:
    yield from _in_files()
    yield from _in_variables(known)


def _in_files() -> Iterator[Key]:
    """Every key of the defaults and of each connection in dlt's own files."""
    for provider in _files():
        section, _ = provider.get_value(SECTIONS[-1], object, "", *SECTIONS[:-1])
        if section is not None and not isinstance(section, Mapping):
            raise ConfigurationError(f"{'.'.join(SECTIONS)} (in {_file(provider, ())}) is not a table of settings")
        for path, is_table in _paths(section or {}):
            yield Key(path, _file(provider, path), is_table)


def _files() -> Iterator[CustomLoaderDocProvider]:
    try:
        found = dlt.config.config_providers
    except Exception as error:
        # dlt's own words may repeat a line of the file.
        raise ConfigurationError(f".dlt/*.toml cannot be read ({type(error).__name__})") from None
    yield from (one for one in found if isinstance(one, CustomLoaderDocProvider))


def _paths(section: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], bool]]:
    for name, value in section.items():
        is_table = isinstance(value, Mapping)
        if name == CONNECTIONS and is_table:
            for connection, settings in value.items():
                yield (name, connection), isinstance(settings, Mapping)
                if isinstance(settings, Mapping):
                    yield from (((name, connection, key), isinstance(one, Mapping)) for key, one in settings.items())
        elif name == SECTIONS[-1] and is_table:
            yield from (((name, key), isinstance(one, Mapping)) for key, one in value.items())
        else:
            yield (name,), is_table


def _file(provider: CustomLoaderDocProvider, path: tuple[str, ...]) -> str:
    """The file in which a key stands, as far as dlt can tell."""
    whole = (*SECTIONS, *path)
    short = provider.get_value_location(whole[-1], None, *whole[:-1])
    present = getattr(provider, "present_locations", None) or provider.locations or [provider.name]
    fitting = [one for one in present if Path(one).name == short.rpartition(":")[2]]
    return str(Path(fitting[0]).absolute()) if len(fitting) == 1 else short or provider.name


def _in_variables(known: Collection[str]) -> Iterator[Key]:
    for variable in sorted(os.environ):
        if variable.startswith(_PREFIX) and os.environ[variable].strip():
            yield Key(_path(variable.removeprefix(_PREFIX).lower().split("__"), known), variable)


def _path(parts: list[str], known: Collection[str]) -> tuple[str, ...]:
    """The path of a variable. The name of a connection may hold two underscores, and ends before the first setting."""
    if parts[0] != CONNECTIONS or len(parts) < 3:
        return tuple(parts)
    ends = [at for at, part in enumerate(parts) if at > 1 and part in known] or [len(parts) - 1]
    return (CONNECTIONS, "__".join(parts[1 : ends[0]]), *parts[ends[0] :])
