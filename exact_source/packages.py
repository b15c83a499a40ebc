"""What dlt keeps on disk between runs, put right: after a kill, and after the destination went back in time.

Knows the folders and the state of dlt's pipelines; when packages are made and loaded is the business of ``runs``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import dlt
from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.storages import LoadStorage, NormalizeStorage
from dlt.pipeline.state_sync import load_pipeline_state_from_destination

SCHEMAS = "schemas"
EXTRACTED = f"normalize/{NormalizeStorage.EXTRACTED_FOLDER}"
MADE, NORMALIZED, LOADED = (
    f"load/{name}"
    for name in (LoadStorage.NEW_PACKAGES_FOLDER, LoadStorage.NORMALIZED_FOLDER, LoadStorage.LOADED_FOLDER)
)


def mend(folder: Path) -> None:
    """Puts a pipeline's folder right before dlt opens it, where a kill or a full disk left it half way.

    Left as it is, it would stop this run and every later one (dlt 1.31, observed 2026-11):
    dlt writes a schema beside its place and then moves it, and takes what was not moved for a schema of that name;
    it makes its folders one after the other, and reads the later ones because the first is there;
    it moves a normalised package and then deletes the extracted one, which it would normalise again into a taken place.
    """
    for path in (folder / SCHEMAS).glob("*"):
        if not path.suffix:
            path.unlink()
    for name in (EXTRACTED, MADE, NORMALIZED, LOADED):
        if (folder / name).parent.is_dir():
            (folder / name).mkdir(exist_ok=True)
    for package in (folder / EXTRACTED).glob("*"):
        if any((folder / done / package.name).is_dir() for done in (NORMALIZED, LOADED)):
            shutil.rmtree(package)


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
