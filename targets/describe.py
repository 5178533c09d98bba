"""Show a target to people, and its schema to editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cimc.targets.schema import Target


def describe(target: Target) -> str:
    """Return the target as text: one setting a line with its source, defaulted ones marked."""
    plain = target.plain()
    defaulted = {line.split(" = ", 1)[0] for line in target.defaulted}
    sources: dict[str, str] = plain.pop("sources")
    lines = [f"{target.name}: {target.description}".rstrip(": \n")]
    for key in ("schema", "name", "description"):
        plain.pop(key)
    for path, value in _leaves(plain, ""):
        note = "default" if path in defaulted else sources.get(path, "")
        lines.append(f"  {path:<26} {_shown(value):<22} {note}".rstrip())
    arrays = "unlimited" if target.arrays is None else f"{target.arrays:,}"
    lines.append(f"  {'arrays':<26} {arrays}")
    return "\n".join(lines)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of target files."""
    schema = Target.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cimc target"
    return schema


def _leaves(plain: dict[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
