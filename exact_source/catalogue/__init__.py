"""What Exact offers, as data: endpoints with their fields, and the entities that become tables."""

from exact_source.catalogue.endpoints import Endpoint, Field, endpoint, paths, readable_paths
from exact_source.catalogue.entities import (
    CursorKind,
    Entity,
    Feed,
    FeedKind,
    Share,
    columns,
    entities,
    entity,
    snake_case,
)

__all__ = [
    "CursorKind",
    "Endpoint",
    "Entity",
    "Feed",
    "FeedKind",
    "Field",
    "Share",
    "columns",
    "endpoint",
    "entities",
    "entity",
    "paths",
    "readable_paths",
    "snake_case",
]
