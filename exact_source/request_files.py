"""The files of the request log: a folder per connection, a file per UTC day and 16 MB, one JSON object per line.

Any number of processes append at once: a line is one write to a file opened for appending, and a full file is followed
by the next number, so nobody renames or locks. Readers leave out what is not a whole line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from exact_source.clock import Clock
from exact_source.settings import check_name, data_folder, private_folder

FOLDER = "logs"
LARGEST = 16_000_000  # bytes after which a file is followed by the next
ENDING = ".jsonl"

Record = dict[str, Any]


class LogWriter:
    """Appends lines to the log of one connection, and removes files older than ``days``. Not safe for threads."""

    def __init__(self, connection: str, days: int, clock: Clock, largest: int = LARGEST) -> None:
        self._connection = connection
        self._days = days
        self._clock = clock
        self._largest = largest
        self._handle: int | None = None
        self._day = ""

    def append(self, day: str, line: bytes) -> None:
        """Writes one line, without its end, into the file of a day (2026-11-21). Raises OSError."""
        if self._handle is None or day != self._day:
            self._open(day)
        handle = self._handle
        if handle is None:
            raise OSError("the log of requests is closed")
        if os.write(handle, line + b"\n") <= len(line):
            raise OSError("the disk is full")
        if os.lseek(handle, 0, os.SEEK_CUR) >= self._largest:
            self.close()

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self, day: str) -> None:
        self.close()
        folder = private_folder(FOLDER, self._connection)
        if day > self._day:
            self._sweep(folder)
        path = _current(folder, day, self._largest)
        handle = self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._day = day
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            os.write(handle, b"\n")  # what a full disk cut short stays a line of its own

    def _sweep(self, folder: Path) -> None:
        oldest = (self._clock.now() - timedelta(days=self._days)).date().isoformat()
        for path in folder.glob("*" + ENDING):
            if _place(path)[0] < oldest:
                path.unlink(missing_ok=True)


def connections() -> list[str]:
    """The connections that have a log."""
    with suppress(OSError):
        return sorted(path.name for path in (data_folder() / FOLDER).iterdir() if path.is_dir())
    return []


def files(connection: str) -> list[Path]:
    """The files of a connection, the oldest first."""
    check_name(connection)
    return sorted((data_folder() / FOLDER / connection).glob("*" + ENDING), key=_place)


def day_of(path: Path) -> str:
    return _place(path)[0]


def sizes(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The bytes of files; one that is gone meanwhile is left out."""
    for path in paths:
        with suppress(OSError):
            yield path, path.stat().st_size


def _current(folder: Path, day: str, largest: int) -> Path:
    number = max((_place(path)[1] for path in folder.glob(f"{day}.*{ENDING}")), default=1)
    path = folder / f"{day}.{number}{ENDING}"
    if path.exists() and path.stat().st_size >= largest:
        path = folder / f"{day}.{number + 1}{ENDING}"
    return path


def _place(path: Path) -> tuple[str, int]:
    """Day and number of a file."""
    day, _, number = path.name.removesuffix(ENDING).partition(".")
    return day, int(number) if number.isdecimal() else 0


def lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """The whole lines of a file from a byte on, each with the byte at which it ends. A file that is gone has none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line, offset


def record_of(line: bytes) -> Record | None:
    """The record of a line, or None for the remains of one."""
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("asked_at"), str) and isinstance(found.get("id"), str):
            return found
    return None
