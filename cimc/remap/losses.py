"""What the weights of a layer lose in each kind of fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.layer import Cells, Encoding
from cimc.remap.kinds import Kinds
from cimc.remap.options import options_of
from cimc.remap.options_types import CellFaults
from cimc.targets import Target

Matrix = npt.NDArray[np.float32]

#: Points at which losses are tabulated where all weights have the same values to choose from, and
#: where the columns of a layer have their own.
POINTS: Final = 4096
COLUMN_POINTS: Final = 512
#: Most numbers worked out at once, and kept.
_AT_ONCE: Final = 1 << 20
_KEPT: Final = 1 << 26


class Losses:
    """Squared errors of the weights of a layer, by kind of fault.

    What a weight loses depends on the weight and the values it can reach.  Where all weights (or
    all of a column) can reach the same, losses are tabulated over the range of the weights, once
    for the layer; of few rows each is worked out.  Tables are of ``POINTS`` or ``COLUMN_POINTS``
    weights, and the nearest is taken: far finer than the values there are to choose from.

    Args:
        cells: Of the layer; of the planes only shapes (and offset cells) matter.
        encoding: What they mean.
        target: The device.
        use: What cells may hold, see :class:`cimc.remap.settings.RemapSettings`.
        levels: Of the codebook; needed for ``codebook``.
        wanted: Weights, float32 ``(groups, rows, columns)``.
    """

    def __init__(
        self,
        cells: Cells,
        encoding: Encoding,
        target: Target,
        use: Literal["codebook", "states", "analog"],
        levels: Tensor | None,
        wanted: Tensor,
    ) -> None:
        self.wanted = wanted
        self._cells, self._encoding, self._target = cells, encoding, target
        self._use, self._levels = use, levels
        self._healthy: Matrix | None = None
        self._tables: dict[bytes, Matrix] = {}
        shape, rows = wanted.shape, wanted.shape[1]
        self._alike = self._all_alike()
        if self._alike:
            point, self._asked = _grid(wanted.reshape(1, -1, 1), POINTS)
        elif rows > COLUMN_POINTS:
            point, self._asked = _grid(wanted, COLUMN_POINTS)
        else:
            point, self._asked = torch.arange(rows)[None, :, None], wanted
        groups, points, columns = self._asked.shape
        first = torch.arange(groups)[:, None, None] * points
        at = (first + point) * columns + torch.arange(columns)
        self._at = at.reshape(shape).to(torch.int32).numpy()

    def of(self, kinds: Kinds, group: int, rows: slice, columns: slice) -> Matrix:
        """Return what the weights of a tile lose in each kind of fault more than without.

        Returns:
            ``(w - nearest reachable)**2`` less that of healthy cells, float32
            ``(kinds, rows, columns)``.
        """
        self._work_out(kinds.stuck_us)
        at = self._at[group, rows, columns]
        out = np.empty((len(kinds.stuck_us), *at.shape), np.float32)
        for found, stuck in zip(out, kinds.stuck_us, strict=True):
            np.take(self._tables[stuck.tobytes()], at, out=found, mode="clip")
        return out

    def _all_alike(self) -> bool:
        """Whether all weights of the layer have the same values to choose from."""
        cells, size = self._cells, self._cells.gain.abs()
        one = bool((size == size[0]).all())
        one &= cells.states_us is None or cells.states_us.ndim == 1
        one &= cells.multipliers is None or cells.multipliers.ndim == 1
        one &= cells.correction_us is None or cells.correction_us.numel() == 1
        return one and (self._levels is None or self._levels.ndim == 1)

    def _work_out(self, stuck_us: Matrix) -> None:
        """Make the tables of these kinds; the first is that of healthy cells."""
        size = self._asked.numel()
        missing = [kind for kind in stuck_us if kind.tobytes() not in self._tables]
        if (len(self._tables) + len(missing)) * size > _KEPT:
            self._tables.clear()
            missing = list(stuck_us)
        most = max(1, _AT_ONCE // size)
        for first in range(0, len(missing), most):
            some = missing[first : first + most]
            for stuck, loss in zip(some, self._squared(np.stack(some)), strict=True):
                if self._healthy is None:
                    self._healthy = loss
                self._tables[stuck.tobytes()] = loss - self._healthy

    def _squared(self, stuck_us: Matrix) -> Matrix:
        """Return the losses of the weights asked for in some kinds, float32 ``(kinds, n)``."""
        kinds, (groups, points, columns) = len(stuck_us), self._asked.shape
        stuck = torch.from_numpy(stuck_us).repeat_interleave(groups, 0)
        planes, faults = [], []
        for number, plane in enumerate(self._cells.planes):
            shared = plane.shape[2] != self.wanted.shape[2]
            shape = (kinds * groups, points, 1 if shared else columns)
            # Of offset cells the contents matter; all of a layer hold the same.
            planes.append(plane[:1, :1, :1].expand(shape))
            faults.append(stuck[:, number, None, None].expand(shape))
        options = options_of(
            self._repeated(planes, kinds),
            self._encoding,
            CellFaults(tuple(faults)),
            self._target,
            use=self._use,
            levels=_repeated(self._levels, kinds),
        )
        wanted = self._asked.repeat(kinds, 1, 1)
        loss: Matrix = (wanted - options.nearest(wanted)[0]).square().reshape(kinds, -1).numpy()
        return loss

    def _repeated(self, planes: Sequence[Tensor], kinds: int) -> Cells:
        """Return cells of as many stacks of matrices as there are kinds."""
        cells = self._cells
        if self._alike:
            gain = cells.gain[:1].abs()
            return Cells(
                tuple(planes), cells.states_us, gain, cells.multipliers, cells.correction_us
            )
        factors = cells.multipliers
        if factors is not None and factors.ndim == 2:
            factors = factors.repeat(1, kinds)
        correction = cells.correction_us
        if correction is not None and correction.numel() > 1:
            correction = correction.repeat(kinds)
        gain = cells.gain.abs()
        gain = gain if gain.numel() == 1 else gain.repeat(kinds)
        states = _repeated(cells.states_us, kinds)
        return Cells(tuple(planes), states, gain, factors, correction)


def _repeated(table: Tensor | None, kinds: int) -> Tensor | None:
    """Return tables of columns so many times; one for all columns as it is."""
    return table if table is None or table.ndim == 1 else table.repeat(kinds, 1)


def _grid(wanted: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return the nearest of equidistant weights, and these, ``(groups, points, columns)``.

    They span the range of each column of ``wanted``, ``(groups, rows, columns)``.
    """
    low, high = wanted.amin(1, keepdim=True), wanted.amax(1, keepdim=True)
    step = (high - low) / (points - 1)
    point = torch.where(step > 0, (wanted - low) / step, 0.0).round().clamp_(0, points - 1)
    return point.to(torch.int64), low + step * torch.arange(points)[None, :, None]
