"""What must hold between the settings of a target, and what is not supported yet.

One function a rule; its docstring is the line in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from cimc.targets import (
    cell_rules,
    compatibility,
    noise_rules,
    read_rules,
    spare_rules,
    unsupported,
)
from cimc.targets.problems import Path, Problem

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Yields path, message and offending value of each violation.
Rule = Callable[["Target"], Iterator[tuple[Path, str, object]]]


def sources_name_settings(target: Target) -> Iterator[tuple[Path, str, object]]:
    """Each key of sources is the dotted path of a setting."""
    known = _paths(type(target), ())
    for key in target.sources:
        if key not in known:
            yield ("sources", key), "names no setting", key


RULES: Final[tuple[Rule, ...]] = (
    *cell_rules.RULES,
    *read_rules.RULES,
    *noise_rules.RULES,
    *spare_rules.RULES,
    sources_name_settings,
)


def broken(target: Target) -> list[Problem]:
    """Return every rule the target breaks, and every setting not supported yet."""
    found = [
        Problem("CIMC-T04", path, message, value)
        for rule in RULES
        for path, message, value in rule(target)
    ]
    return found + compatibility.invalid(target) + unsupported.used(target)


def _paths(section: type[BaseModel], path: tuple[str, ...]) -> set[str]:
    """Return the dotted paths of all settings of a section and of those inside it."""
    found = set()
    for name, info in section.model_fields.items():
        here = (*path, info.alias or name)
        found.add(".".join(here))
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _paths(kind, here)
    return found
