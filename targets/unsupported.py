"""Settings the format has but the compiler cannot honour yet: refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cimc.targets.compatibility import switched_on
from cimc.targets.problems import Path, Problem

if TYPE_CHECKING:
    from cimc.targets.schema import Target


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A setting that would change results in a way cimc does not compute.

    Attributes:
        path: The setting.
        what: What cannot be done yet.
        instead: What can.
        value: The written value when the target uses it, None otherwise.
    """

    path: Path
    what: str
    instead: str
    value: Callable[[Target], object]


UNSUPPORTED: Final[tuple[Unsupported, ...]] = (
    Unsupported(
        ("wires",), "wire resistance around cells with an I-V curve", "one of the two",
        lambda t: "both" if "ir-drop" in switched_on(t) and t.cell.nonlinearity else None,
    ),
)  # fmt: skip


def used(target: Target) -> list[Problem]:
    """Return the settings of the target that are not supported yet."""
    found = []
    for item in UNSUPPORTED:
        value = item.value(target)
        if value is not None:
            message = f"{item.what} not supported yet; supported: {item.instead}"
            found.append(Problem("CIMC-T05", item.path, message, value))
    return found
