"""How far a fleet is while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from cimc.fleets.records import Record


@dataclass(slots=True)
class Standing:
    """Counts and a running mean.

    Attributes:
        total: Chips there are fault maps of [-].
        done: Programs made, before included [-].
        failed: Chips that failed in this run [-].
        before: Chips that were done before this run [-].
        seconds: Since this run began to work [s].
    """

    total: int
    done: int = 0
    failed: int = 0
    before: int = 0
    seconds: float = 0.0
    _sum: float = 0.0
    _measured: int = 0

    def add(self, record: Record, *, before: bool = False) -> None:
        """Count a chip."""
        self.done += record.done
        self.failed += not record.done
        self.before += before
        if record.accuracy is not None:
            self._sum += record.accuracy
            self._measured += 1

    @property
    def finished(self) -> int:
        """Chips that were worked on, before included [-]."""
        return self.done + self.failed

    @property
    def accuracy(self) -> float | None:
        """Mean of the chips that were measured; None: none was."""
        return self._sum / self._measured if self._measured else None

    @property
    def left_s(self) -> float | None:
        """How long the rest will take, as long a chip as so far; None: not known yet [s]."""
        here = self.finished - self.before
        return self.seconds / here * (self.total - self.finished) if here else None
