"""Chips whose conductances were measured, in place of simulated ones: type C of [GDQ §4.4]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.executor import Executor
from cimc.program import measured
from cimc.program.measured import Readback
from cimc.program.model import DeviceProgram
from cimc.verification.effects import Selection
from cimc.verification.readback import read_readback
from cimc.verification.scoring import Result, Runner

#: One read-back, or several: one a chip.
Measured = str | Path | Readback | Sequence[str | Path | Readback] | None

#: Non-idealities that are in the measured conductances and are not simulated on top of them.
REPLACED = frozenset(
    {"programming", "device-to-device", "correlated", "drift", "relaxation", "stuck", "lines"}
    | {"temperature"}
)


def sources_of(given: Measured) -> tuple[str | Path | Readback, ...]:
    """Return the read-backs, one a chip."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str | Path | Readback) else tuple(given)


def remaining(selection: Selection) -> Selection:
    """Return what is still simulated where conductances were measured."""
    kept = tuple(name for name in selection.effects if name not in REPLACED)
    return replace(selection, effects=kept)


class MeasuredChips:
    """Runs one measured chip; :meth:`chip` gives the next.

    With several read-backs chip ``k`` is the k-th; with one every "chip" is another inference of
    it, with other read fluctuations.
    """

    def __init__(
        self,
        program: DeviceProgram,
        sources: Sequence[str | Path | Readback],
        selection: Selection,
        seed: int,
    ) -> None:
        """Read and check all files; hold the conductances of the first.

        Args:
            program: What the chips were programmed with.
            sources: Read-backs, at least one.
            selection: What is simulated beside the conductances.
            seed: Of the first chip.

        Raises:
            ProgramError: CIMC-P70..P74, see :func:`cimc.verification.readback.read_readback`.
        """
        self._program, self._sources, self._first = program, sources, seed
        self._selection = selection
        self.warnings: tuple[str, ...] = ()
        for source in sources[1:]:
            self._planes(source)  # refused now, not after hours; held one at a time
        self._held = 0
        self._executor = self._make(0, seed)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], taps: bool = False) -> Result:
        """Run one batch on the chip."""
        return self._executor.run(inputs, taps=taps)

    def chip(self, seed: int) -> Runner:
        """Return another chip: the next read-back, or another inference of the only one."""
        number = (seed - self._first) % len(self._sources)
        same = number == self._held
        other = copy(self)
        other._held = number
        other._executor = self._executor.chip(seed) if same else self._make(number, seed)
        return other

    def _make(self, number: int, seed: int) -> Executor:
        return Executor(
            self._program,
            mode="chip",
            seed=seed,
            effects=frozenset(self._selection.effects),
            at_s=self._selection.at_s,
            measured=self._planes(self._sources[number]),
        )

    def _planes(self, source: str | Path | Readback) -> dict[str, Any]:
        readback = source if isinstance(source, Readback) else read_readback(source, self._program)
        found = measured.planes(self._program, readback)
        self._warn_of_units(readback)
        return found

    def _warn_of_units(self, readback: Readback) -> None:
        """Say so when a whole read-back is far from the range of the target's cells."""
        g_max = max((float(np.nanmax(m)) for m in readback.arrays.values()), default=0.0)
        cells = [layer.cells for layer in self._program.layers.values()]
        wanted = max((_largest_us(c) for c in cells), default=0.0)
        if not 1e-2 * wanted <= g_max <= 1e2 * wanted:
            line = (
                f"{readback.name or 'the read-back'}: the largest measured conductance is "
                f"{g_max:g} uS where {wanted:g} uS was programmed; values are taken in uS"
            )
            self.warnings = tuple(dict.fromkeys((*self.warnings, line)))


def _largest_us(cells: Any) -> float:
    if cells.states_us is not None:
        return float(cells.states_us.max())
    return max(float(plane.max()) for plane in cells.planes)
