"""What a caller chose to read: names into entities, and pairs of a division and its entities. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from exact_source import catalogue
from exact_source.catalogue import Entity
from exact_source.errors import ConfigurationError, UnknownName

Only: TypeAlias = Mapping[int, Sequence[str]]
Pairs: TypeAlias = Mapping[int, frozenset[str]]


def chosen_entities(names: Iterable[str] | None) -> tuple[Entity, ...]:
    """The entities by name or alias, in the order of the catalogue and once each; the default set for None."""
    if not names:
        return tuple(entity for entity in catalogue.entities() if entity.is_default)
    asked = {named(name).name for name in names}
    return tuple(entity for entity in catalogue.entities() if entity.name in asked)


def named(name: str) -> Entity:
    """The entity of this name or alias, or UnknownName."""
    try:
        return catalogue.entity(name)
    except KeyError:
        raise UnknownName(f"there is no entity {name!r}; `exact-source entities --all` lists them") from None


def pairs_of(only: Only) -> Pairs:
    """Checked, with aliases resolved. ConfigurationError for a division that is no code or has no entities."""
    if not only:
        raise ConfigurationError('only names no division; write it as {124132: ["accounts", "items"]}')
    for division, names in only.items():
        if not isinstance(division, int) or isinstance(division, bool) or division < 1:
            raise ConfigurationError(f"only: {division!r} is not the code of a division, such as 124132")
        if isinstance(names, str) or not names:
            raise ConfigurationError(f'only: division {division} needs a list of entities, such as ["accounts"]')
    return {division: frozenset(named(name).name for name in names) for division, names in only.items()}


def asked_names(entities: Sequence[str] | None, only: Only | None) -> Sequence[str] | None:
    """The names of all entities that are asked for in some division; None for the default set."""
    return entities if only is None else sorted({name for names in pairs_of(only).values() for name in names})
