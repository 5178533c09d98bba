"""The table of settings in docs/training.md, as the recipe has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cimc.pipeline.training_ranges import RANGES
from cimc.training.recipe import Recipe


def rows() -> Iterator[str]:
    """Yield the rows: every setting with its default and its values."""
    yield from _rows(Recipe, "")


def _rows(settings: Any, before: str) -> Iterator[str]:
    hints = get_type_hints(settings)
    for field in fields(settings):
        name, kind = before + field.name, hints[field.name]
        if is_dataclass(kind):
            yield from _rows(kind, f"{name}.")
        else:
            yield f"| `{name}` | {_written(field.default, kind)} | {_values(name, kind)} |"


def _written(value: Any, kind: Any) -> str:
    if value is None:
        return "by the method" if int in get_args(kind) else "all"
    if isinstance(value, tuple):
        return "none"
    if isinstance(value, str):
        return f"`{value}`" if value else "the first"
    return f"{value:g}"


def _values(name: str, kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{v}`" for v in get_args(kind))
    if name == "milestones":
        return "ascending epochs"
    if name == "effects":
        return "[names](device-model.md) of non-idealities"
    if name == "output":
        return "an output of the network"
    whole = "whole, " if kind is int or int in get_args(kind) else ""
    return f"{whole}{RANGES[name]}"
