"""The targets: one YAML a device, the schema that checks them, and the loader."""

if __name__ != "cimc.targets":
    raise ImportError("import cimc.targets, not targets")

from cimc.targets.describe import describe, json_schema
from cimc.targets.loader import find_target, list_targets, load_target
from cimc.targets.schema import Target

__all__ = ["Target", "describe", "find_target", "json_schema", "list_targets", "load_target"]
