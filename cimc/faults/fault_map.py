"""The faults of one chip in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.program.model import FaultRecord

#: States of a faulty cell: stuck at G_min (HRS), at G_max (LRS), at a conductance of its own.
AT_G_MIN, AT_G_MAX, AT_CONDUCTANCE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class FaultMap:
    """What a tester found on one chip.

    Attributes:
        chip: Its id.
        target: Name of the target it is a chip of.
        arrays: Numbers of the arrays that were tested, ascending, int32 ``(k,)``.
        cells: Faulty cells, int32 ``(n, 4)``: array, row (word line), column (bit line), state;
            sorted by the first three, no cell twice.
        conductance_us: Of cells in state 3, float32 ``(n,)``; 0 in the others [uS].
        gain_arrays: Arrays whose device-to-device variation was measured, ascending, int32
            ``(m,)``; None: not measured.
        gain_lrs: Factor of the highest state of each cell of these ([NM Eq. 12] ``var``), float32
            ``(m, rows, columns)`` [-].
        gain_hrs: The same of the lowest state.
        temperature_k: At which it was measured; None: unknown [K].
        time_s: After programming at which it was measured; None: unknown [s].
        sha256: Of the file it was read from; '' when it was made in memory.
        array_rows: Word lines of an array; None: unknown, or the target does not limit them.
        array_columns: Bit lines of an array, likewise.
    """

    chip: str
    target: str
    arrays: npt.NDArray[np.int32]
    cells: npt.NDArray[np.int32]
    conductance_us: npt.NDArray[np.float32]
    gain_arrays: npt.NDArray[np.int32] | None = None
    gain_lrs: npt.NDArray[np.float32] | None = None
    gain_hrs: npt.NDArray[np.float32] | None = None
    temperature_k: float | None = None
    time_s: float | None = None
    sha256: str = ""
    array_rows: int | None = None
    array_columns: int | None = None

    def record(self) -> FaultRecord:
        """Return what a program for this chip keeps of it."""
        return FaultRecord(
            self.chip,
            self.cells,
            self.conductance_us,
            self.gain_arrays,
            self.gain_lrs,
            self.gain_hrs,
        )
