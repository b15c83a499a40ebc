"""What dlt keeps on disk between runs, put right: after a kill, and after the destination went back in time.

Knows the folders and the state of dlt's pipelines; when packages are made and loaded is the business of ``runs``.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationException, DestinationUndefinedEntity
from dlt.common.storages import LoadStorage, NormalizeStorage, PackageStorage
from dlt.pipeline.state_sync import load_pipeline_state_from_destination
from pyarrow import parquet

from exact_source.clock import Clock

SCHEMAS = "schemas"
EXTRACTED = f"normalize/{NormalizeStorage.EXTRACTED_FOLDER}"
MADE, NORMALIZED, LOADED = (
    f"load/{name}"
    for name in (LoadStorage.NEW_PACKAGES_FOLDER, LoadStorage.NORMALIZED_FOLDER, LoadStorage.LOADED_FOLDER)
)
# The schema of a package that appends, as it was before: with it the package merges.
MERGING = "merging_schema.json"
MERGE = ".sql"  # the suffix of dlt's jobs that merge
FOLLOWING = (MERGE, ".reference")  # of jobs that dlt makes when others are completed
UNENDED = (PackageStorage.STARTED_JOBS_FOLDER, PackageStorage.NEW_JOBS_FOLDER)
MAKING_WAITS = (0.1, 0.3, 1.0, 3.0)  # seconds between tries to make tables that others make too
PORTION = 2**20
MERGE_HINTS = ("dedup_sort", "hard_delete")


def mend(folder: Path) -> None:
    """Puts a pipeline's folder right before dlt opens it, where a kill or a full disk left it half way.

    Left as it is, it would stop this run and every later one (dlt 1.31, observed 2026-11):
    dlt writes a schema beside its place and then moves it, and takes what was not moved for a schema of that name;
    it makes its folders one after the other, and reads the later ones because the first is there;
    it moves a normalised package and then deletes the extracted one, which it would normalise again into a taken place;
    it marks a loaded package as completed and then moves it away, and refuses to complete what is marked.
    """
    for path in (folder / SCHEMAS).glob("*"):
        if not path.suffix:
            path.unlink()
    for name in (EXTRACTED, MADE, NORMALIZED, LOADED):
        if (folder / name).parent.is_dir():
            (folder / name).mkdir(exist_ok=True)
    for left in _left_over(folder):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    for package in (folder / NORMALIZED).glob("*"):
        if (package / PackageStorage.PACKAGE_COMPLETED_FILE_NAME).exists():
            package.rename(folder / LOADED / package.name)
        elif (package / MERGING).exists():
            _start_over(package)
        else:
            _merge_again(package)


def _left_over(folder: Path) -> list[Path]:
    """Packages that were extracted and are normalised already, and what was to be moved when a run was killed.

    The latter are folders of an extraction, and files that dlt writes beside their place.
    """
    extracted, done = folder / EXTRACTED, (folder / NORMALIZED, folder / LOADED)
    normalized = [one for one in extracted.glob("*") if any((place / one.name).is_dir() for place in done)]
    beside = [one for place in ("normalize", "load") for one in (folder / place).glob("*")]
    return normalized + [one for one in beside if re.fullmatch("[0-9a-f]{16}", one.name)]


def check_waiting(folder: Path) -> None:
    """Raises ValueError or EOFError for a file that ends too early.

    A destination would blame itself for it, or pass over it.
    """
    for place in (EXTRACTED, NORMALIZED):
        for file in (folder / place).glob("*/*_jobs/*.parquet"):
            parquet.read_metadata(file)
        for file in (folder / place).glob("*/*_jobs/*.gz"):
            if file.stat().st_size == 0:
                raise EOFError(file.name)
            with gzip.open(file) as text:
                while text.read(PORTION):
                    pass


def append_to(pipeline: dlt.Pipeline, tables: Iterable[str]) -> None:
    """Lets the next load append to these tables, whose rows it knows to be new, instead of merging.

    Only the package says so; the schema of the pipeline stays as it is. Appending twice would double the rows: a load
    that was broken off goes on only after ``mend``, as a merge from its start.
    """
    assert pipeline.default_schema_name is not None
    naming = pipeline.default_schema.naming
    names = {naming.normalize_table_identifier(name) for name in tables}
    for load_id in pipeline.list_normalized_load_packages() if names else ():
        package = Path(pipeline.working_dir, NORMALIZED, load_id)
        kept = (package / PackageStorage.SCHEMA_FILE_NAME).read_text("utf-8")
        schema = json.loads(kept)
        for name in names & schema["tables"].keys():
            _become_append(schema["tables"][name])
        _write(package / MERGING, kept)
        _write(package / PackageStorage.SCHEMA_FILE_NAME, json.dumps(schema))


def _become_append(table: dict[str, Any]) -> None:
    table["write_disposition"] = "append"
    for column in table["columns"].values():
        for hint in MERGE_HINTS:
            column.pop(hint, None)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_suffix(".part")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def _start_over(package: Path) -> None:
    """Puts a package whose load was broken off back to where its load began, and makes it merge.

    Its rows that were appended are replaced by themselves. May be broken off as well: the kept schema goes last.
    """
    _put_back(package, lambda _: True)
    (package / MERGING).replace(package / PackageStorage.SCHEMA_FILE_NAME)


def _merge_again(package: Path) -> None:
    """Has dlt make the merges anew that a load had not ended when it was broken off, and load what they need.

    dlt would go on with the statements that it wrote, which a power cut may have left empty: rows would be missing, and
    nothing would tell. May be broken off as well: the statements go last.
    """
    waiting = [job for state in UNENDED for job in (package / state).glob(f"*{MERGE}")]
    if not waiting:
        return
    tables = json.loads((package / PackageStorage.SCHEMA_FILE_NAME).read_text("utf-8"))["tables"]
    merged = {_table(job) for job in (package / PackageStorage.COMPLETED_JOBS_FOLDER).glob(f"*{MERGE}")}

    def is_unmerged(table: str) -> bool:
        while "parent" in tables[table]:
            table = tables[table]["parent"]
        return table not in merged and tables[table].get("write_disposition") == "merge"

    _put_back(package, is_unmerged)


def _put_back(package: Path, is_wanted: Callable[[str], bool]) -> None:
    """Makes jobs new again that were started or completed, of the tables that are wanted; dlt makes anew what follows.

    dlt's own tables stay as they are: their rows would come twice.
    """
    new, following = package / PackageStorage.NEW_JOBS_FOLDER, []
    for state in (*UNENDED, PackageStorage.COMPLETED_JOBS_FOLDER):
        for job in (package / state).glob("*"):
            if job.name.startswith("_dlt_") or not is_wanted(_table(job)):
                continue
            if job.suffix in FOLLOWING:
                following.append(job)
                continue
            (package / PackageStorage.PENDING_TRANSITIONS_FOLDER / job.name).unlink(missing_ok=True)
            job.replace(new / job.name)
    updates = package / PackageStorage.SCHEMA_UPDATES_FILE_NAME
    if not updates.exists():
        _write(updates, "{}")  # tells dlt to prepare the tables, those between as well
    for job in following:
        job.unlink()


def _table(job: Path) -> str:
    return job.name.partition(".")[0]


def make_tables(pipeline: dlt.Pipeline, clock: Clock) -> None:
    """Makes the tables of a pipeline that shares its dataset with others which load at the same time.

    Two that make one table at the same moment disturb each other: the one that lost looks again. All tables of the
    schema are made, as dlt takes a schema that some pipeline has stored for tables that are there.
    """
    if "staging_dataset_name_layout" not in pipeline.destination.config_params:
        return
    for seconds in (*MAKING_WAITS, None):
        try:
            pipeline.sync_schema()
            return
        except DestinationException:
            if seconds is None:
                raise
            clock.sleep(seconds)


def leave_out_empty(pipeline: dlt.Pipeline) -> None:
    """Takes files without rows out of what is to be loaded into Postgres, and makes their tables all the same.

    A feed without rows and a contract that discards all of them make such files; ADBC fails on them (dlt 1.31).
    """
    if pipeline.destination.capabilities().sqlglot_dialect != "postgres":
        return
    folder = Path(pipeline.working_dir, NORMALIZED)
    files = folder.glob(f"*/{PackageStorage.NEW_JOBS_FOLDER}/*.parquet")
    empty = [file for file in files if parquet.read_metadata(file).num_rows == 0]
    if empty:
        pipeline.sync_schema()
    for file in empty:
        file.unlink()


def trusting_destination(pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """The pipeline without its local state when that is not what the destination holds.

    dlt takes the destination's state only when it is newer. A database that was restored from a backup, or whose volume
    was away for one run, has an older one: its bookmarks, not the local ones, tell what its tables hold.
    """
    extracted = pipeline.state["_local"].get("_last_extracted_hash")
    if extracted is None or pipeline.has_pending_data or _holds(pipeline, extracted):
        return pipeline
    return pipeline.drop()


def _holds(pipeline: dlt.Pipeline, state: str) -> bool:
    """Whether the destination's last state of the pipeline has this hash; True where a destination keeps no state."""
    with pipeline.destination_client() as client:
        if not isinstance(client, WithStateSync):
            return True
        try:
            found = load_pipeline_state_from_destination(pipeline.pipeline_name, client)
        except DestinationUndefinedEntity:
            return False
    return found is not None and found["_version_hash"] == state
