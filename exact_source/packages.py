"""What dlt keeps on disk between runs, put right: after a kill, and after the destination went back in time.

Knows the folders and the state of dlt's pipelines; when packages are made and loaded is the business of ``runs``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import dlt
from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages import NormalizeStorage
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

NORMALIZE_FOLDER, SCHEMAS_FOLDER = "normalize", "schemas"


def clear_schemas(folder: Path) -> None:
    """Drops schemas half written from a pipeline's folder, before dlt opens it.

    dlt writes a schema beside its place and then moves it. Broken off in between, by a kill or a full disk, it would
    take what it wrote for a schema of that name and refuse it, in every later run too (dlt 1.31, observed 2026-11).
    """
    for path in (folder / SCHEMAS_FOLDER).glob("*"):
        if not path.suffix:
            path.unlink()


def settle(pipeline: dlt.Pipeline) -> None:
    """Drops the extracted half of packages that are normalised already.

    dlt renames the normalised package and then deletes the extracted one. Killed in between, it would normalise the
    package again and find its place taken, in this run and every later one (dlt 1.31, observed 2026-11).
    """
    normalized = {*pipeline.list_normalized_load_packages(), *pipeline.list_completed_load_packages()}
    for load_id in pipeline.list_extracted_load_packages():
        if load_id in normalized:
            shutil.rmtree(Path(pipeline.working_dir, NORMALIZE_FOLDER, NormalizeStorage.EXTRACTED_FOLDER, load_id))


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
