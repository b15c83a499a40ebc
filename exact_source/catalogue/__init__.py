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
from exact_source.catalogue.entity_types import current_type

__all__ = [
    "CursorKind",
    "Endpoint",
    "Entity",
    "Feed",
    "FeedKind",
    "Field",
    "Share",
    "columns",
    "current_type",
    "endpoint",
    "entities",
    "entity",
    "paths",
    "readable_paths",
    "snake_case",
]
