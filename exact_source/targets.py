"""Where a run loads to, as dlt sees it: the pipeline of a connection and target, and its destination."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination import Destination

from exact_source import loading, packages, warehouse
from exact_source.errors import ConfigurationError
from exact_source.orders import Target
from exact_source.settings import private_folder


def pipeline_of(connection: str, target: Target) -> dlt.Pipeline:
    """The pipeline of one connection and target. Its state never mixes with that of another database."""
    folder = folder_of(connection, target)
    packages.mend(folder)
    pipeline = dlt.pipeline(
        pipeline_name=folder.name,
        destination=destination_of(target, f"{connection}_{target.part}" if target.part else ""),
        dataset_name=target.dataset,
        pipelines_dir=str(folder.parent),
    )
    if target.destination == "duckdb" and not Path(_absolute(target)).exists() and pipeline.first_run is False:
        # The file was taken away: what the state says was read is no longer there.
        pipeline = pipeline.drop()
    return pipeline


def folder_of(connection: str, target: Target) -> Path:
    """Where dlt keeps state, schemas and packages of this pipeline on disk."""
    return private_folder("pipelines") / pipeline_name(connection, target)


def pipeline_name(connection: str, target: Target) -> str:
    seal = hashlib.sha256(f"{target.destination}|{_absolute(target)}|{target.dataset}".encode()).hexdigest()[:8]
    return f"exact_online_{connection}_{seal}{f'_{target.part}' if target.part else ''}"


def _absolute(target: Target) -> str:
    return str(Path(target.place).absolute()) if target.destination == "duckdb" else target.place


def destination_of(target: Target, share: str = "") -> Destination[Any, Any]:
    """The dlt destination, with the database as its credentials. ConfigurationError when dlt does not know it.

    ``share`` names a staging dataset of its own: in a shared one, loads would empty each other's tables.
    """
    destination = _found(target, {"staging_dataset_name_layout": f"%s_staging_{share}"} if share else {})
    warehouse.check(destination)
    return destination


def _found(target: Target, staging: dict[str, Any]) -> Destination[Any, Any]:
    if target.destination == "duckdb":
        if Path(_absolute(target)).stem == target.dataset:
            # DuckDB names the catalog after the file, and then cannot tell catalog from schema.
            raise ConfigurationError(
                f"the DuckDB file {target.place} and the dataset {target.dataset} have the same name, which DuckDB "
                "cannot tell apart; choose another --database or --dataset"
            )
        return loading.asked_once(dlt.destinations.duckdb, _absolute(target), **staging)
    factory = getattr(dlt.destinations, target.destination, None)
    if not isinstance(factory, type):
        raise ConfigurationError(
            f"dlt has no destination {target.destination!r}; duckdb and postgres are examples of those it has"
        )
    return loading.asked_once(factory, *([target.database] if target.database else []), **staging)
