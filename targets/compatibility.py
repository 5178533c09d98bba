"""Which non-ideality is valid with which encoding and input drive.

The table here is the table in docs/targets.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cimc.targets.problems import Path, Problem

if TYPE_CHECKING:
    from cimc.targets.schema import Target

#: Every encoding and drive of the schema.
ENCODINGS: Final = ("differential-pair", "offset-column", "bit-sliced", "signed")
DRIVES: Final = ("parallel", "bit-serial")

_ANALOG: Final = frozenset({"differential-pair", "offset-column", "bit-sliced"})
_BOTH: Final = frozenset(DRIVES)


@dataclass(frozen=True, slots=True)
class Effect:
    """One non-ideality or circuit property, and where it has a meaning.

    Attributes:
        path: Setting that switches it on.
        title: What it is called in the documentation.
        encodings: Encodings it is valid with.
        drives: Input drives it is valid with.
        why: Reason it is invalid elsewhere, completing "is not valid with ...: ".
        on: Whether a target has it.
    """

    path: Path
    title: str
    encodings: frozenset[str]
    drives: frozenset[str]
    why: str
    on: Callable[[Target], bool]


EFFECTS: Final[tuple[Effect, ...]] = (
    Effect(
        ("noise", "programming"), "programming noise", _ANALOG, _BOTH,
        "signed weights are not conductances", lambda t: t.noise.programming is not None,
    ),
    Effect(
        ("noise", "device_to_device"), "device-to-device variation", _ANALOG, _BOTH,
        "signed weights are not conductances", lambda t: t.noise.device_to_device is not None,
    ),
    Effect(
        ("noise", "read"), "read noise", _ANALOG, _BOTH,
        "signed weights are not conductances", lambda t: t.noise.read is not None,
    ),
    Effect(
        ("noise", "drift"), "drift", _ANALOG, _BOTH,
        "signed weights are not conductances", lambda t: t.noise.drift is not None,
    ),
    Effect(
        ("stuck",), "stuck cells", _ANALOG, _BOTH,
        "signed weights have no G_min or G_max", lambda t: t.stuck is not None,
    ),
    Effect(
        ("wires",), "wire resistance", _ANALOG, _BOTH,
        "signed weights are not conductances",
        lambda t: t.wires.word_line_ohm + t.wires.bit_line_ohm > 0,
    ),
    Effect(
        ("read", "dac_bits"), "input converter", _ANALOG, _BOTH,
        "the encoding is exact arithmetic", lambda t: t.read.dac_bits is not None,
    ),
    Effect(
        ("adc", "bits"), "output converter", _ANALOG, _BOTH,
        "the encoding is exact arithmetic", lambda t: t.adc.bits is not None,
    ),
    Effect(
        ("adc", "offset_lsb"), "converter offset", _ANALOG, _BOTH,
        "there is no converter", lambda t: t.adc.offset_lsb > 0,
    ),
    Effect(
        ("adc", "noise_lsb"), "converter noise", _ANALOG, _BOTH,
        "there is no converter", lambda t: t.adc.noise_lsb > 0,
    ),
    Effect(
        ("pair", "placement"), "twin arrays", frozenset({"differential-pair"}), _BOTH,
        "there is no pair", lambda t: t.pair.placement == "twin-arrays",
    ),
    Effect(
        ("pair", "subtraction"), "subtraction after the ADC", frozenset({"differential-pair"}),
        _BOTH, "there is no pair", lambda t: t.pair.subtraction == "after-adc",
    ),
    Effect(
        ("read", "drive"), "bit-serial inputs", _ANALOG, frozenset({"bit-serial"}),
        "the encoding is exact arithmetic", lambda t: t.read.drive == "bit-serial",
    ),
)  # fmt: skip


def invalid(target: Target) -> list[Problem]:
    """Return the effects of the target that its encoding or drive gives no meaning."""
    found = []
    for effect in EFFECTS:
        if not effect.on(target):
            continue
        wrong = [
            f"{what} {value}"
            for what, value, valid in (
                ("encoding", target.encoding, effect.encodings),
                ("drive", target.read.drive, effect.drives),
            )
            if value not in valid
        ]
        if wrong:
            message = f"{effect.title} is not valid with {' and '.join(wrong)}: {effect.why}"
            found.append(Problem("CIMC-T04", effect.path, message))
    return found
