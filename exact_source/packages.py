"""The load packages that dlt keeps on disk between extract and load: what a killed run left of them is put right.

Knows the folders of dlt's working directory; when packages are made and loaded is the business of ``runs``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import dlt
from dlt.common.storages import NormalizeStorage

NORMALIZE_FOLDER = "normalize"


def settle(pipeline: dlt.Pipeline) -> None:
    """Drops the extracted half of packages that are normalised already.

    dlt renames the normalised package and then deletes the extracted one. Killed in between, it would normalise the
    package again and find its place taken, in this run and every later one (dlt 1.31, observed 2026-11).
    """
    normalized = {*pipeline.list_normalized_load_packages(), *pipeline.list_completed_load_packages()}
    for load_id in pipeline.list_extracted_load_packages():
        if load_id in normalized:
            shutil.rmtree(Path(pipeline.working_dir, NORMALIZE_FOLDER, NormalizeStorage.EXTRACTED_FOLDER, load_id))
