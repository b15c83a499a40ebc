"""Where the processor time of all threads goes: their stacks, weighed by the time each has really run.

A thread that waits costs nothing, whatever it waits for; time without the interpreter's lock counts where it was called
from; threads that have no Python (DuckDB's, Arrow's) count under their name. Linux only: it reads ``/proc``.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType

INTERVAL = 0.005
TASKS = Path("/proc/self/task")
OWN = "profile_threads"


class Profile:
    """Samples while its context lasts, then writes ``path`` (tables) and ``path`` with .stacks (for a flame graph)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stacks: Counter[tuple[str, ...]] = Counter()
        self._ran: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=OWN, daemon=True)

    def __enter__(self) -> Profile:
        self._sample()
        self.stacks.clear()  # what came before is none of ours
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.path.write_text(self.told(40), encoding="utf-8")
        lines = [f"{';'.join(stack)} {nanoseconds // 1000}" for stack, nanoseconds in self.stacks.most_common()]
        self.path.with_suffix(".stacks").write_text("\n".join(lines), encoding="utf-8")

    def told(self, most: int) -> str:
        """The functions that cost most: by themselves, and with what they call."""
        own, cumulative = Counter[str](), Counter[str]()
        for stack, nanoseconds in self.stacks.items():
            own[stack[-1]] += nanoseconds
            for name in set(stack):
                cumulative[name] += nanoseconds
        whole = max(sum(own.values()), 1)
        told = [f"{whole / 1e9:.2f} CPU seconds in all", "", "by itself"]
        told += [f"{cost / 1e9:8.2f} s {cost / whole:6.1%}  {name}" for name, cost in own.most_common(most)]
        told += ["", "with what it calls"]
        told += [f"{cost / 1e9:8.2f} s {cost / whole:6.1%}  {name}" for name, cost in cumulative.most_common(most)]
        return "\n".join(told)

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        frames = sys._current_frames()
        python = {thread.native_id: thread for thread in threading.enumerate()}
        for task in TASKS.iterdir():
            try:
                ran = int((task / "schedstat").read_text().split()[0])
                name = (task / "comm").read_text().strip()
            except OSError:
                continue
            number = int(task.name)
            spent = ran - self._ran.get(number, 0)
            self._ran[number] = ran
            thread = python.get(number)
            if spent <= 0 or thread is self._thread:
                continue
            frame = frames.get(thread.ident) if thread and thread.ident else None
            self.stacks[_stack(frame) or (f"(a thread without Python: {name})",)] += spent


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    found = []
    while frame is not None:
        place = Path(frame.f_code.co_filename)
        found.append(f"{'/'.join(place.parts[-2:])}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(found))
