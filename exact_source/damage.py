"""What dlt keeps on disk, damaged: after a power cut a file may be empty or short, and dlt would fail on it for ever.

Nothing is lost by doing without it. Bookmarks are stored with the rows that they speak of, in the destination, and what
was read and not loaded is read again.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination.exceptions import DestinationException
from dlt.common.schema.exceptions import SchemaException
from dlt.common.storages.exceptions import StorageException
from dlt.pipeline.exceptions import CannotRestorePipelineException

from exact_source.errors import ExactError
from exact_source.settings import private_folder

T = TypeVar("T")
UNREADABLE = (
    *(ValueError, LookupError, EOFError, OSError),
    *(StorageException, SchemaException, CannotRestorePipelineException),
)
NOT_OURS = (ExactError, DestinationException, ConfigurationException)
# A file that is missing, in the way, or no archive. A full or write-protected disk is no damage.
KINDS = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, None}


def survived(step: Callable[[], T], folder: Path, warn: Callable[[str], None]) -> T:
    """What ``step`` gives; when it fails on what is in ``folder``, a second time without it, and somebody is told."""
    try:
        return step()
    except Exception as error:
        kind = _damage(error)
        if kind is None or not folder.exists():
            raise
    aside = private_folder("damaged") / folder.name
    shutil.rmtree(aside, ignore_errors=True)
    shutil.move(folder, aside)
    warn(
        f"what dlt keeps on disk between runs was damaged ({kind}); it was moved to {aside}, and the run went on from "
        "what the destination holds: nothing is lost"
    )
    return step()


def _damage(error: Exception) -> str | None:
    """The name of what tells of a damaged file; None when it is another trouble."""
    links = list(_links(error))
    if any(isinstance(one, NOT_OURS) or (isinstance(one, OSError) and one.errno not in KINDS) for one in links):
        return None
    return next((type(one).__name__ for one in links if isinstance(one, UNREADABLE)), None)


def _links(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
