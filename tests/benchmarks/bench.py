"""All benchmarks as one table with their goals: ``make bench``, ``make bench-guard``, ``make bench-readme``.

Compare ratios: both sides of each are measured in the same round, in processes of their own, on the same ready pages.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import arena
import figures
import scenarios
from figures import Figure
from pages import TEMPLATES
from scenarios import Size

EXPECTED = Path(__file__).with_name("expected.json")
README = arena.REPOSITORY / "README.md"
PARTS: dict[str, Callable[[arena.Arena, Size, scenarios.Note], list[Figure]]] = {
    "race": scenarios.race,
    "large": scenarios.large,
    "latency": scenarios.latency,
    "limit": scenarios.limit,
    "profile": scenarios.profile,
}
SHORT = Size(rows=20_000, slow_rows=2_000, tuned_rows=10_000, rounds=2, has_rest_api=False)


def note(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def machine() -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}"


def measured(size: Size, parts: list[str]) -> list[Figure]:
    found: list[Figure] = []
    with arena.opened(min(TEMPLATES, size.rows // 1_000)) as place:
        for name in parts:
            note(f"{name}: {PARTS[name].__doc__}")
            found += PARTS[name](place, size, note)
    return found


def main() -> int:
    """Measures, prints, and says with its exit code whether a ratio has halved (``--guard``)."""
    given = _given()
    size = SHORT if given.guard or given.record else Size(rows=given.rows, rounds=given.rounds)
    parts = ["race"] if given.guard or given.record else given.only.split(",")
    began, before = time.monotonic(), machine()
    found = measured(size, parts)
    print(f"{before} before, {machine().rpartition('load ')[2]} after; {time.monotonic() - began:.0f} s\n")
    print(figures.table(found))
    if given.readme:
        figures.into_readme(README, found, f"Medians, measured on {before} (others at work on it count in).")
    if given.record:
        figures.keep(EXPECTED, found)
    worse = figures.halved(EXPECTED, found) if given.guard else []
    if worse:
        print(f"\nhalved: {'; '.join(worse)}. Measured once more, as the machine may have been at something else:")
        found = measured(size, parts)
        print(figures.table(found))
        worse = figures.halved(EXPECTED, found)
    for told in worse:
        print(f"HALVED: {told}")
    return 1 if worse else 0


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=Size().rounds)
    parser.add_argument("--rows", type=int, default=Size().rows)
    parser.add_argument("--only", default=",".join(PARTS), help="parts of it, with commas")
    parser.add_argument("--readme", action="store_true", help="write the figures into README.md")
    parser.add_argument("--guard", action="store_true", help="a short race; fail when a ratio has halved")
    parser.add_argument("--record", action="store_true", help="a short race; keep its ratios for the guard")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
