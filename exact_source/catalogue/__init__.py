"""What Exact offers, as data: endpoints with their fields, and the entities that become tables."""

from exact_source.catalogue.endpoints import Endpoint, Field, endpoint, paths, readable_paths, writable_paths
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
from exact_source.catalogue.writing import Nested, demanded, nested

__all__ = [
    "CursorKind",
    "Endpoint",
    "Entity",
    "Feed",
    "FeedKind",
    "Field",
    "Nested",
    "Share",
    "columns",
    "current_type",
    "demanded",
    "endpoint",
    "entities",
    "entity",
    "nested",
    "paths",
    "readable_paths",
    "snake_case",
    "writable_paths",
]
