"""What is asked of a verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cimc.errors import UsageError
from cimc.faults import FaultMap, require_map_for_any_chip
from cimc.verification.effects import Names, Time, names_of, require_one, seconds_of
from cimc.verification.measured_chips import Measured, sources_of

Mode = Literal["chip", "ideal"]
Sequence = Literal["bounded", "normal"]
#: Called with what is being done and the share done, 0..1.
Progress = Callable[[str, float], None]

#: Chips drawn when nothing else is asked for.
CHIPS = 20


def silent(what: str, share: float) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a verification; see :func:`verify`."""

    chips: int = CHIPS
    mode: Mode = "chip"
    min_accuracy: float | None = None
    max_drop: float | None = None
    quantile: float | None = None
    confidence: float = 0.95
    sequence: Sequence = "bounded"
    seed: int = 0
    only: Names = None
    without: Names = None
    at: Time = None
    measured: Measured = None
    fault_map: FaultMap | str | Path | None = None
    any_chip: bool = False

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: CIMC-U02; CIMC-U06, options that exclude each other; CIMC-U08, not a
                time; CIMC-U47, an unknown non-ideality.
        """
        self._check_effects()
        _within("chips", self.chips, 1 <= self.chips <= 1_000_000, "1 to 1000000")
        _within("confidence", self.confidence, 0.0 < self.confidence < 1.0, "between 0 and 1")
        _within("seed", self.seed, 0 <= self.seed < 2**62, "0 to 2**62")
        for name in ("min_accuracy", "max_drop"):
            value = getattr(self, name)
            if value is not None:
                _within(name, value, 0.0 <= value <= 1.0, "0 to 1 (a share, not percent)")
        if self.quantile is not None:
            _within("quantile", self.quantile, 0.0 < self.quantile < 1.0, "between 0 and 1")
        if self.sequence not in ("bounded", "normal"):
            _within("sequence", self.sequence, False, "'bounded' or 'normal'")
        if self.mode not in ("chip", "ideal"):
            _within("mode", self.mode, False, "'chip' or 'ideal'")

    def _check_effects(self) -> None:
        seconds_of(self.at)
        require_one(
            {
                "--ideal": self.mode == "ideal",
                "--only": names_of(self.only) is not None,
                "--without": names_of(self.without) is not None,
            }
        )

        measured = bool(sources_of(self.measured))
        require_one({"--ideal": self.mode == "ideal", "--measured": measured})
        # Measured conductances are those of stuck cells too.
        require_one({"--measured": measured, "--fault-map": self.fault_map is not None})
        require_map_for_any_chip(self.fault_map, self.any_chip)

    @property
    def gated(self) -> bool:
        """Whether something has to be reached."""
        return self.min_accuracy is not None or self.max_drop is not None


def _within(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        option = "--" + name.replace("_", "-")
        raise UsageError(
            "CIMC-U02",
            f"{name.replace('_', ' ')} {value} is out of range",
            where=option,
            hint=f"a value {allowed}",
        )
