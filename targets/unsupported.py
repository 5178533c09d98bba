"""Settings the format has but the compiler cannot honour yet: refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cimc.targets.compatibility import EFFECTS, Effect, switched_on
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


#: Non-idealities (by switch) that the executor cannot model yet.
NOT_YET: Final = frozenset({"nonlinearity", "johnson"})  # fmt: skip


def _on(effect: Effect) -> Callable[[Target], object]:
    return lambda target: "given" if effect.on(target) else None


UNSUPPORTED: Final[tuple[Unsupported, ...]] = (
    Unsupported(
        ("read", "drive"), "bit-serial and pulse-width inputs", "parallel",
        lambda t: t.read.drive if t.read.drive != "parallel" else None,
    ),
    Unsupported(
        ("pair", "subtraction"), "subtraction after the converter", "before-adc",
        lambda t: t.pair.subtraction if t.pair.subtraction == "after-adc" else None,
    ),
    Unsupported(
        ("adc", "range"), "other converter ranges", "per-row-tile",
        lambda t: t.adc.range if t.adc.range != "per-row-tile" else None,
    ),
    Unsupported(
        ("adc", "offset_lsb"), "converter offset", "0",
        lambda t: t.adc.offset_lsb or None,
    ),
    Unsupported(
        ("adc", "noise_lsb"), "converter noise", "0",
        lambda t: t.adc.noise_lsb or None,
    ),
    Unsupported(
        ("adc", "gain_sigma"), "converter gain mismatch", "0",
        lambda t: t.adc.gain_sigma or None,
    ),
    Unsupported(
        ("read", "signed_inputs"), "two-phase and shifted inputs", "bipolar",
        lambda t: t.read.signed_inputs if t.read.signed_inputs != "bipolar" else None,
    ),
    Unsupported(
        ("wires",), "wire resistance around cells with an I-V curve", "one of the two",
        lambda t: "both" if "ir-drop" in switched_on(t) and t.cell.nonlinearity else None,
    ),
    *(
        Unsupported(effect.path, effect.title, "leaving it out", _on(effect))
        for effect in EFFECTS
        if effect.name in NOT_YET
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
