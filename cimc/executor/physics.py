"""What of a target's non-idealities one way of running applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram
from cimc.targets import Target

Mode = Literal["ideal", "noise-free", "chip"]

MODES: tuple[Mode, ...] = ("ideal", "noise-free", "chip")


@dataclass(frozen=True, slots=True)
class Physics:
    """What the executor models.

    Attributes:
        converters: Whether DAC and ADC quantize.
        g_min_us: Conductance of a cell stuck at HRS [uS].
        g_max_us: Conductance of a cell stuck at LRS [uS].
        programming_us: Standard deviation of a programmed conductance [uS].
        read_sigma: Standard deviation of a read as a share of the conductance [-].
        stuck_at_g_min: Probability that a cell is stuck at HRS [-].
        stuck_at_g_max: Probability that a cell is stuck at LRS [-].
    """

    converters: bool
    g_min_us: float
    g_max_us: float
    programming_us: float = 0.0
    read_sigma: float = 0.0
    stuck_at_g_min: float = 0.0
    stuck_at_g_max: float = 0.0

    @property
    def random(self) -> bool:
        """Whether chips differ."""
        return bool(self.programming_us or self.stuck_at_g_min or self.stuck_at_g_max)


def physics_of(program: DeviceProgram, mode: str) -> Physics:
    """Return what a mode models of the program's target.

    ``ideal``: exact arithmetic.  ``noise-free``: converters.  ``chip``: everything.  Cells that
    the program's fault map sticks are stuck in every mode; where there is a map, the target's
    stuck rates say nothing about this chip and are not drawn.

    Raises:
        UsageError: CIMC-U45, no such mode.
        TargetError: The target description in the program is wrong.
    """
    if mode not in MODES:
        hint = "one of " + ", ".join(MODES)
        raise UsageError("CIMC-U45", f"there is no mode {mode!r}", hint=hint)
    target = Target.from_plain(program.target, name="the program's target")
    g_min_us, g_max_us = target.cell.g_min_us, target.cell.g_max_us
    if mode != "chip" or target.encoding == "signed":
        return Physics(mode != "ideal", g_min_us, g_max_us)
    stuck = target.stuck if program.faults is None else None
    return Physics(
        True,
        g_min_us,
        g_max_us,
        target.programming_sigma_us,
        0.0 if target.noise.read is None else target.noise.read.sigma_relative,
        0.0 if stuck is None else stuck.at_g_min,
        0.0 if stuck is None else stuck.at_g_max,
    )
