"""What was measured, as figures with goals: printed as a table, kept in the README, compared with those of before."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- figures of `make bench-readme` -->\n", "<!-- end of the figures -->\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """``goal`` as it is written, such as ``>= 50``; empty for what is only stated. ``command``: what measures it again.

    ``is_ratio``: it means the same on every machine, so that the guard compares it; more is better if the goal begins
    with ``>``.
    """

    key: str
    what: str
    value: float
    unit: str = "x"
    goal: str = ""
    command: str = "race"
    is_ratio: bool = True

    @property
    def told(self) -> str:
        places = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        return f"{self.value:,.{places}f} {self.unit}".strip()

    @property
    def met(self) -> str:
        if not self.goal:
            return "stated"
        sign, limit = self.goal.split(" ", 1)
        compare = operator.ge if sign == ">=" else operator.le
        return "met" if compare(self.value, float(limit)) else "NOT MET"

    def has_halved(self, before: float) -> bool:
        return self.value < before / 2 if self.goal.startswith(">") else self.value > before * 2


def table(figures: Sequence[Figure]) -> str:
    rows = [("what", "measured", "goal", "")]
    rows += [(one.what, one.told, f"{one.goal} {one.unit}".strip() if one.goal else "", one.met) for one in figures]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def into_readme(path: Path, figures: Iterable[Figure], told: str) -> None:
    """Replaces what stands between the two marks."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"{path} has no place for the figures"
    lines = [told, "", "| what | measured | goal | | command |", "|---|---|---|---|---|"]
    for one in figures:
        goal = f"{one.goal} {one.unit}".strip().replace(">=", "≥").replace("<=", "≤") if one.goal else ""
        lines.append(f"| {one.what} | {one.told} | {goal} | {one.met} | `make bench ONLY={one.command}` |")
    path.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


def keep(path: Path, figures: Iterable[Figure]) -> None:
    """The ratios of now, for the guard to compare with."""
    kept = {one.key: round(one.value, 3) for one in figures if one.is_ratio}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def halved(path: Path, figures: Iterable[Figure]) -> list[str]:
    """The ratios that are half as good as those kept, in words; also one that is no longer measured."""
    kept, found = json.loads(path.read_text(encoding="utf-8")), {one.key: one for one in figures}
    told = [f"{key} is no longer measured" for key in kept if key not in found]
    return told + [
        f"{one.what}: {one.told}, was {kept[key]}"
        for key, one in found.items()
        if key in kept and one.has_halved(kept[key])
    ]
