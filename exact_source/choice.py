"""What a caller chose to read: names into entities, and pairs of a division and its entities. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from exact_source import catalogue
from exact_source.catalogue import Entity
from exact_source.errors import ConfigurationError, UnknownName

Only: TypeAlias = Mapping[int, Sequence[str]]
Pairs: TypeAlias = Mapping[int, frozenset[str]]
TOLD = 40  # divisions that a message names before it counts the rest


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


@dataclass(frozen=True, slots=True)
class Patterns:
    """Divisions chosen by name: ``*`` stands for anything, ``?`` for one letter, and case does not count."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    def chosen(self, named: Mapping[int, str | None]) -> tuple[int, ...]:
        """The codes whose names are included, all of them without ``include``, and not excluded."""
        return tuple(
            code
            for code, name in named.items()
            if (not self.include or _fits(name, self.include)) and not _fits(name, self.exclude)
        )

    def check(self, named: Mapping[int, str | None]) -> None:
        """UnknownName for a pattern that fits no name: it may be misspelt. ``named``: the divisions there are."""
        for setting, patterns in (("include", self.include), ("exclude", self.exclude)):
            for pattern in patterns:
                if not any(_fits(name, [pattern]) for name in named.values()):
                    raise UnknownName(
                        f"{setting}: {pattern!r} fits no division; there are {_told(named)}. * stands for anything"
                    )
        if self and not self.chosen(named):
            raise UnknownName(f"exclude leaves no division to read of {_told(named)}")


def _fits(name: str | None, patterns: Iterable[str]) -> bool:
    plain = (name or "").strip().casefold()
    return any(fnmatchcase(plain, pattern.casefold()) for pattern in patterns)


def _told(named: Mapping[int, str | None]) -> str:
    shown = [f"{code} {name!r}" for code, name in named.items()]
    return ", ".join(shown[:TOLD]) + (f" and {len(shown) - TOLD} more" if len(shown) > TOLD else "")
