"""What is measured, and which figures follow. Every ratio is made within one round, so that a slow minute hits both sides."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import equality
import ours
import pages
import reader
from arena import Arena, Measure
from figures import Figure

from exact_source.clock import SystemClock

CORES = os.cpu_count() or 1
SERVER_ROWS = 300_000  # rows/s that the server must be able to give
Rounds = dict[str, list[Measure]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rows of a load, of the slow contenders, and of the large load; and how often."""

    rows: int = 200_000
    slow_rows: int = 20_000
    tuned_rows: int = 20_000
    large_rows: int = 2_000_000
    rounds: int = 5
    large_rounds: int = 3
    compared: int = 20_000
    has_rest_api: bool = True


Note = Callable[[str], None]


def race(arena: Arena, size: Size, note: Note) -> list[Figure]:
    """First loads and merges of the same pages by us, by others, and by nobody but DuckDB."""
    taken: Rounds = defaultdict(list)
    _check_server(arena, size, note)
    for turn in range(size.rounds):
        for name, measure in _one_round(arena, size, is_checked=turn == 0):
            taken[name].append(measure)
            note(f"round {turn + 1}: {_line(name, measure)}")
    return _raced(taken, size)


def _check_server(arena: Arena, size: Size, note: Note) -> None:
    """The best of some attempts: a busy machine is no fault of the server, but readers must be what is measured."""
    arena.serve(rows=size.rows)
    clock, best = SystemClock(), 0.0
    for _ in range(20):
        began = clock.now()
        reader.sweep(reader.first_link(arena.url))
        best = max(best, size.rows / (clock.now() - began).total_seconds())
        if best > 2 * SERVER_ROWS:
            break
    note(f"the server gives {best:,.0f} rows/s to a bare socket")
    assert best >= SERVER_ROWS, f"the server gives only {best:,.0f} rows/s"


def _one_round(arena: Arena, size: Size, *, is_checked: bool) -> Iterator[tuple[str, Measure]]:
    rows = size.rows
    database = arena.folder / "ours" / ours.DATABASE
    arena.serve(rows=rows)
    yield "download", arena.run("download", rows, "download")
    yield "ours", arena.run("ours", rows, "ours")
    if is_checked:
        equality.check(database, reader.first_link(arena.url), most=size.compared)
        equality.check_repeats(database, rows, arena.templates)
    yield "floor", arena.run("floor", rows, "floor")
    arena.serve(rows=rows, generation=2)
    yield "ours, merge", arena.run("ours", rows, "ours")
    yield "floor, merge", arena.run("floor_merge", rows, "floor")
    if is_checked:
        after = pages.stamp(2, 0) - 1
        equality.check(database, reader.first_link(arena.url), after, most=size.compared)
    arena.serve(rows=size.tuned_rows)
    yield "tuned", arena.run("tuned", size.tuned_rows, "tuned")
    arena.serve(rows=size.slow_rows)
    yield "plain", arena.run("plain", size.slow_rows, "plain")
    if size.has_rest_api:
        yield "rest_api", arena.run("rest_api", size.slow_rows, "rest_api")
    _clear(arena)


def _raced(taken: Rounds, size: Size) -> list[Figure]:
    def ratio(one: str, other: str, of: Callable[[Measure], float]) -> float:
        return median(of(mine) / of(its) for mine, its in zip(taken[one], taken[other], strict=True))

    def speed(name: str) -> float:
        return median(one.speed for one in taken[name])

    def cpu(name: str) -> float:
        return median(one.cpu_per_100k for one in taken[name])

    found = [
        Figure("speed", "first load", speed("ours"), "rows/s", is_ratio=False),
        Figure("speed_merge", "merge in which every row changed", speed("ours, merge"), "rows/s", is_ratio=False),
        Figure("over_plain", _over("plain dlt, dicts", speed("plain")), ratio("ours", "plain", _speed), "x", ">= 50"),
    ]
    if size.has_rest_api:
        told = _over("plain dlt, `rest_api`", speed("rest_api"))
        found.append(Figure("over_rest_api", told, ratio("ours", "rest_api", _speed), "x", ">= 50"))
    return [
        *found,
        Figure(
            "over_tuned", _over("dlt's best row path", speed("tuned")), ratio("ours", "tuned", _speed), "x", ">= 10"
        ),
        Figure("floor", "first load, time of the floor", ratio("ours", "floor", _seconds), "x", "<= 1.5"),
        Figure(
            "floor_merge", "merge, time of its floor", ratio("ours, merge", "floor, merge", _seconds), "x", "<= 2.2"
        ),
        Figure("cpu", "CPU for 100,000 rows", cpu("ours"), "s", is_ratio=False),
        Figure("cpu_merge", "CPU for 100,000 rows, merge", cpu("ours, merge"), "s", is_ratio=False),
        Figure("cpu_floor", "CPU for 100,000 rows, the floor", cpu("floor"), "s", is_ratio=False),
        Figure("cpu_tuned", "CPU for 100,000 rows, dlt's best row path", cpu("tuned"), "s", is_ratio=False),
        Figure("cpu_plain", "CPU for 100,000 rows, plain dlt", cpu("plain"), "s", is_ratio=False),
        Figure("cpu_download", "CPU for 100,000 rows, download alone", cpu("download"), "s", is_ratio=False),
        Figure("cpu_over_download", "CPU, of the download's", ratio("ours", "download", _cpu)),
    ]


def _over(name: str, speed: float) -> str:
    return f"first load over {name} ({speed:,.0f} rows/s)"


def large(arena: Arena, size: Size, note: Note) -> list[Figure]:
    """Ten times the rows: memory must not grow with them, nor the merge of a few changes cost what a load does."""
    firsts, merges, smalls = [], [], []
    rows, changed = size.large_rows, size.large_rows // 100
    for turn in range(size.large_rounds):
        arena.serve(rows=size.rows)
        smalls.append(arena.run("ours", size.rows, "small"))
        arena.serve(rows=rows)
        firsts.append(arena.run("ours", rows, "large"))
        note(f"round {turn + 1}: {_line('first load', firsts[-1])}")
        database = arena.folder / "large" / ours.DATABASE
        if turn == 0:
            equality.check_repeats(database, rows, arena.templates)
        for generation in (2, 3):
            arena.serve(rows=rows, generation=generation, stride=100)
            merges.append(arena.run("ours", changed, "large"))
            note(f"round {turn + 1}: {_line('1 % merged', merges[-1])}")
        if turn == 0:
            after = pages.stamp(3, 0) - 1
            assert equality.check(database, reader.first_link(arena.url), after) == changed
        _clear(arena)
    share = median(one.seconds for one in merges) / median(one.seconds for one in firsts)
    peaks = [median(one.peak for one in found) for found in (firsts, smalls)]
    return [
        Figure("large", f"first load of {rows:,} rows", median(map(_speed, firsts)), "rows/s", "", "large", False),
        Figure("peak", f"peak memory, {rows:,} rows", peaks[0], "MB", "<= 700", "large", False),
        Figure("peak_growth", f"peak memory, of that for {size.rows:,}", peaks[0] / peaks[1], "x", "<= 1.3", "large"),
        Figure("share", f"1 % changed into {rows:,}, of the first load", 100 * share, "%", "<= 10", "large"),
    ]


def latency(arena: Arena, size: Size, note: Note) -> list[Figure]:
    """Sixteen divisions that answer after 150 ms, against one of them and against the same without latency."""
    found, rows = list[tuple[float, float]](), 20 * pages.PAGE
    for turn in range(size.large_rounds):
        seconds = list[float]()
        for divisions, wait in ((16, 0.15), (1, 0.15), (16, 0.0)):
            arena.serve(rows=rows, divisions=divisions, latency=wait)
            measure = arena.run("ours", rows * divisions, "latency")
            note(f"round {turn + 1}: {_line(f'{divisions} divisions, {wait * 1000:.0f} ms', measure)}")
            seconds.append(measure.seconds)
            cpu = measure.cpu / CORES
            _clear(arena)
        found.append((seconds[0] / max(seconds[1:]), seconds[0] / max(seconds[1], cpu)))
    told = "16 divisions at 150 ms a page, time of one alone or of 16 without latency"
    ideal = "the same, of one alone or of CPU seconds / cores"
    return [
        Figure("latency", told, median(one for one, _ in found), "x", "<= 1.3", "latency"),
        Figure("latency_ideal", ideal, median(one for _, one in found), "x", "", "latency"),
    ]


def limit(arena: Arena, size: Size, note: Note) -> list[Figure]:
    """How many divisions are kept at one page a second each, Exact's limit of 60 calls a minute."""
    seconds, kept, left = 20, 0, 0.0
    for divisions in (8, 16, 24, 32, 40, 48, 56, 64):
        arena.serve(rows=seconds * pages.PAGE, divisions=divisions, pace=1.0)
        measure = arena.run("ours", seconds * pages.PAGE * divisions, "limit")
        slowest = max(last - first for first, last in arena.seen())
        use = measure.cpu / seconds / CORES  # of what there is while Exact gives these rows, loading counted in
        note(f"{divisions} divisions: slowest {slowest:.1f} s of {seconds - 1}, CPU {use:.0%}, {measure.seconds:.1f} s")
        _clear(arena)
        if slowest > 1.05 * (seconds - 1) or use > 1:
            break
        kept, left = divisions, 100 * (1 - use)
    return [
        Figure("divisions", "divisions kept at Exact's limit of 1,000 rows/s", kept, "", "", "limit", False),
        Figure("margin", f"processor left with these ({CORES} cores)", left, "%", "", "limit", False),
    ]


def profile(arena: Arena, size: Size, note: Note) -> list[Figure]:
    """One more first load, its CPU time by function: printed, and kept where ``make clean`` removes it."""
    kept = Path("build/bench/profile.txt").absolute()
    kept.parent.mkdir(parents=True, exist_ok=True)
    arena.serve(rows=size.rows)
    arena.run("ours", size.rows, "profile", kept)
    _clear(arena)
    note(f"profile of a first load of {size.rows:,} rows, in full in {kept}")
    for line in kept.read_text(encoding="utf-8").splitlines()[:18]:
        note(line)
    return []


def _speed(measure: Measure) -> float:
    return measure.speed


def _seconds(measure: Measure) -> float:
    return measure.seconds


def _cpu(measure: Measure) -> float:
    return measure.cpu_per_100k


def _line(name: str, one: Measure) -> str:
    return f"{name:<24} {one.speed:>9,.0f} rows/s {one.cpu_per_100k:>7.2f} CPU s/100k {one.peak:>6,.0f} MB {one.seconds:7.2f} s"


def _clear(arena: Arena) -> None:
    """The databases and working folders of a round; a contender starts from nothing in the next."""
    for folder in arena.folder.iterdir():
        shutil.rmtree(folder)
