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
DRIVES: Final = ("parallel", "bit-serial", "pulse-width")

_ANALOG: Final = frozenset({"differential-pair", "offset-column", "bit-sliced"})
_ALL: Final = frozenset(DRIVES)


@dataclass(frozen=True, slots=True)
class Effect:
    """One non-ideality or circuit property, and where it has a meaning.

    Attributes:
        name: What ``--only`` and ``--without`` call it; None: not a non-ideality but a choice of
            circuit, which cannot be switched off.
        path: Setting that switches it on.
        title: What it is called in the documentation.
        encodings: Encodings it is valid with.
        drives: Input drives it is valid with.
        why: Reason it is invalid elsewhere, completing "is not valid with ...: ".
        on: Whether a target has it.
    """

    name: str | None
    path: Path
    title: str
    encodings: frozenset[str]
    drives: frozenset[str]
    why: str
    on: Callable[[Target], bool]


_NO_CELLS: Final = "signed weights are not conductances"
_EXACT: Final = "the encoding is exact arithmetic"
_NO_CONVERTER: Final = "there is no converter"
_NO_PAIR: Final = "there is no pair"

EFFECTS: Final[tuple[Effect, ...]] = (
    Effect(
        "dac", ("read", "dac_bits"), "input converter", _ANALOG, _ALL,
        _EXACT, lambda t: t.read.dac_bits is not None,
    ),
    Effect(
        "adc", ("adc", "bits"), "output converter", _ANALOG, _ALL,
        _EXACT, lambda t: t.adc.bits is not None,
    ),
    Effect(
        "adc-offset", ("adc", "offset_lsb"), "converter offset", _ANALOG, _ALL,
        _NO_CONVERTER, lambda t: t.adc.offset_lsb > 0,
    ),
    Effect(
        "adc-gain", ("adc", "gain_sigma"), "converter gain mismatch", _ANALOG, _ALL,
        _NO_CONVERTER, lambda t: t.adc.gain_sigma > 0,
    ),
    Effect(
        "adc-noise", ("adc", "noise_lsb"), "converter noise", _ANALOG, _ALL,
        _NO_CONVERTER, lambda t: t.adc.noise_lsb > 0,
    ),
    Effect(
        "nonlinearity", ("cell", "nonlinearity"), "I-V curve", _ANALOG, frozenset({"parallel"}),
        "every pulse has the full read voltage", lambda t: t.cell.nonlinearity is not None,
    ),
    Effect(
        "programming", ("noise", "programming"), "programming noise", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.programming is not None,
    ),
    Effect(
        "device-to-device", ("noise", "device_to_device"), "device-to-device variation", _ANALOG,
        _ALL, _NO_CELLS, lambda t: t.noise.device_to_device is not None,
    ),
    Effect(
        "correlated", ("noise", "correlated"), "correlated variation", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.correlated is not None,
    ),
    Effect(
        "read", ("noise", "read"), "read noise", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.read is not None and t.noise.read.sigma_relative > 0,
    ),
    Effect(
        "one-over-f", ("noise", "read", "one_over_f"), "1/f noise", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.read is not None and t.noise.read.one_over_f is not None,
    ),
    Effect(
        "telegraph", ("noise", "read", "telegraph"), "random telegraph noise", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.read is not None and t.noise.read.telegraph is not None,
    ),
    Effect(
        "temperature", ("noise", "thermal"), "conductance against temperature", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.thermal is not None,
    ),
    Effect(
        "johnson", ("noise", "thermal", "bandwidth"), "Johnson noise", _ANALOG, _ALL,
        _NO_CELLS,
        lambda t: t.noise.thermal is not None and t.noise.thermal.bandwidth_hz is not None,
    ),
    Effect(
        "drift", ("noise", "drift"), "drift", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.drift is not None,
    ),
    Effect(
        "relaxation", ("noise", "relaxation"), "log-time relaxation", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.noise.relaxation is not None,
    ),
    Effect(
        "stuck", ("stuck",), "stuck cells", _ANALOG, _ALL,
        "signed weights have no G_min or G_max", lambda t: t.stuck is not None,
    ),
    Effect(
        "lines", ("lines",), "broken lines", _ANALOG, _ALL,
        _NO_CELLS, lambda t: t.lines is not None,
    ),
    Effect(
        "ir-drop", ("wires",), "wire resistance", _ANALOG, _ALL, _NO_CELLS,
        lambda t: t.wires.word_line_ohm + t.wires.bit_line_ohm + t.wires.driver_ohm
        + t.wires.sense_ohm > 0,
    ),
    Effect(
        None, ("pair", "placement"), "twin arrays", frozenset({"differential-pair"}), _ALL,
        _NO_PAIR, lambda t: t.pair.placement == "twin-arrays",
    ),
    Effect(
        None, ("pair", "subtraction"), "subtraction after the ADC",
        frozenset({"differential-pair"}), _ALL,
        _NO_PAIR, lambda t: t.pair.subtraction == "after-adc",
    ),
    Effect(
        None, ("read", "drive"), "bit-serial inputs", _ANALOG, frozenset({"bit-serial"}),
        _EXACT, lambda t: t.read.drive == "bit-serial",
    ),
    Effect(
        None, ("read", "drive"), "pulse-width inputs", _ANALOG, frozenset({"pulse-width"}),
        _EXACT, lambda t: t.read.drive == "pulse-width",
    ),
    Effect(
        None, ("read", "signed_inputs"), "two-phase or shifted inputs", _ANALOG, _ALL,
        _EXACT, lambda t: t.read.signed_inputs != "bipolar",
    ),
    Effect(
        None, ("slices",), "bit slices", frozenset({"bit-sliced"}), _ALL,
        "a weight has no slices", lambda t: t.slices is not None,
    ),
)  # fmt: skip

#: What ``--only`` and ``--without`` take.
SWITCHES: Final = tuple(e.name for e in EFFECTS if e.name is not None)


#: Non-idealities that are the same on every chip and in every run.
FIXED: Final = frozenset({"dac", "adc", "nonlinearity", "ir-drop", "temperature"})
#: Non-idealities that are new in every run.
FLUCTUATIONS: Final = frozenset({"read", "one-over-f", "telegraph", "johnson", "adc-noise"})


def switched_on(target: Target) -> frozenset[str]:
    """Return the names of the non-idealities that a target describes."""
    return frozenset(e.name for e in EFFECTS if e.name is not None and e.on(target))


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
