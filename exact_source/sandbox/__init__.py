"""A sandbox that behaves as Exact Online does: OAuth, quotas, OData, sync, faults, and books with a memory."""

from exact_source.sandbox.faults import Fault
from exact_source.sandbox.options import Options
from exact_source.sandbox.records import Records
from exact_source.sandbox.sandbox import Sandbox
from exact_source.sandbox.storage import Storage

__all__ = ["Fault", "Options", "Records", "Sandbox", "Storage"]
