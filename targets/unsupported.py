"""Settings the format has but the compiler cannot honour yet: refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
        ("encoding",), "bit-sliced weights", "differential-pair or offset-column",
        lambda t: t.encoding if t.encoding == "bit-sliced" else None,
    ),
    Unsupported(
        ("cell", "states"), "fixed states with offset columns", "analog, or differential-pair",
        lambda t: "a list" if _lists_states(t) and t.encoding == "offset-column" else None,
    ),
    Unsupported(
        ("read", "drive"), "bit-serial inputs", "parallel",
        lambda t: t.read.drive if t.read.drive == "bit-serial" else None,
    ),
    Unsupported(
        ("pair", "placement"), "pairs in twin arrays", "adjacent-columns",
        lambda t: t.pair.placement if t.pair.placement == "twin-arrays" else None,
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
        ("noise", "device_to_device"), "device-to-device variation", "leaving it out",
        lambda t: "given" if t.noise.device_to_device is not None else None,
    ),
    Unsupported(
        ("noise", "drift"), "drift", "leaving it out",
        lambda t: "given" if t.noise.drift is not None else None,
    ),
    Unsupported(
        ("wires", "word_line"), "wire resistance", "0 ohm",
        lambda t: f"{t.wires.word_line_ohm} ohm" if t.wires.word_line_ohm else None,
    ),
    Unsupported(
        ("wires", "bit_line"), "wire resistance", "0 ohm",
        lambda t: f"{t.wires.bit_line_ohm} ohm" if t.wires.bit_line_ohm else None,
    ),
)  # fmt: skip


def _lists_states(target: Target) -> bool:
    return target.cell.states != "analog"


def used(target: Target) -> list[Problem]:
    """Return the settings of the target that are not supported yet."""
    found = []
    for item in UNSUPPORTED:
        value = item.value(target)
        if value is not None:
            message = f"{item.what} not supported yet; supported: {item.instead}"
            found.append(Problem("CIMC-T05", item.path, message, value))
    return found
