"""What of a target's non-idealities one way of running applies."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.targets.compatibility import FIXED, FLUCTUATIONS, SWITCHES, switched_on

Mode = Literal["ideal", "noise-free", "chip"]

MODES: tuple[Mode, ...] = ("ideal", "noise-free", "chip")


@dataclass(frozen=True, slots=True)
class Physics:
    """What the executor models.

    Attributes:
        target: The device.
        effects: Names of the non-idealities that are modelled, a subset of
            ``cimc.targets.compatibility.SWITCHES``.
        at_s: Time after programming [s].
        known_faults: Whether the program has a fault map, which stands for the stuck rates.
    """

    target: Target
    effects: frozenset[str]
    at_s: float = 0.0
    known_faults: bool = False

    def on(self, name: str) -> bool:
        """Whether a non-ideality is modelled."""
        return name in self.effects

    @property
    def converters(self) -> bool:
        """Whether a DAC or an ADC quantizes."""
        return self.on("dac") or self.on("adc")

    @property
    def random(self) -> bool:
        """Whether chips differ."""
        return bool(self.effects - FIXED)

    @property
    def fluctuates(self) -> bool:
        """Whether runs of one chip differ."""
        return bool(self.effects & FLUCTUATIONS)


def physics_of(
    program: DeviceProgram,
    mode: str,
    effects: AbstractSet[str] | None = None,
    at_s: float | None = None,
) -> Physics:
    """Return what a mode models of the program's target.

    ``ideal``: exact arithmetic.  ``noise-free``: converters.  ``chip``: everything, or of
    everything only ``effects``.  Cells that the program's fault map sticks are stuck in every
    mode; where there is a map, the target's stuck rates say nothing about this chip and are not
    drawn.

    Args:
        program: What is run.
        mode: One of :data:`MODES`.
        effects: Names of non-idealities; those the target does not describe do nothing.
        at_s: Time after programming [s]; None: the target's ``read.at``.

    Raises:
        UsageError: CIMC-U45, no such mode; CIMC-U47, no such non-ideality.
        TargetError: The target description in the program is wrong.
    """
    if mode not in MODES:
        hint = "one of " + ", ".join(MODES)
        raise UsageError("CIMC-U45", f"there is no mode {mode!r}", hint=hint)
    unknown = sorted(set(effects or ()) - set(SWITCHES))
    if unknown:
        hint = "one of " + ", ".join(SWITCHES)
        raise UsageError("CIMC-U47", f"there is no non-ideality {unknown[0]!r}", hint=hint)
    target = Target.from_plain(program.target, name="the program's target")
    on = switched_on(target)
    if mode == "ideal":
        on = frozenset()
    elif mode == "noise-free":
        on &= {"dac", "adc"}
    elif effects is not None:
        on &= effects
    if program.faults is not None:
        on -= {"stuck"}
    time = target.read.at_s if at_s is None else at_s
    return Physics(target, on, time, program.faults is not None)
