"""Kinds of faults: what is stuck in the cells of one weight, and what that costs.

Stuck cells mostly stand at one of two conductances, so the places of a tile differ in a handful
of ways only.  What a weight loses is worked out once for each way, not for each place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.ir.layer import Cells, Encoding
from cimc.remap.options import options_of
from cimc.remap.options_types import CellFaults, Options
from cimc.targets import Target

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

#: Most kinds told apart in a tile; beyond, conductances are rounded, then lesser faults ignored.
MOST: Final = 256
#: Conductances that are told apart when there are too many [-].
_ROUNDED: Final = 16
#: Points at which errors are tabulated where all weights have the same values to choose from.
_POINTS: Final = 4096
#: Most tables kept; one is 16 KiB.
_KEPT: Final = 2048


@dataclass(frozen=True, slots=True)
class Kinds:
    """The faults at every place for a weight.

    Attributes:
        number: Kind at each place, int32 ``(p, s)``; 0: healthy.
        stuck_us: What is stuck in each kind, float32 ``(k, planes)``; NaN healthy [uS].
    """

    number: Numbers
    stuck_us: Matrix

    def swapped(self) -> tuple[Kinds, Numbers]:
        """Return the kinds with all swapped ones among them, and the number of each swapped.

        Swapped: what G+ and G- are exchanged for, for differential pairs.
        """
        known = {tuple(np.nan_to_num(k, nan=-1.0)): n for n, k in enumerate(self.stuck_us)}
        rows = [*self.stuck_us]
        for kind in self.stuck_us:
            if tuple(np.nan_to_num(kind[::-1], nan=-1.0)) not in known:
                known[tuple(np.nan_to_num(kind[::-1], nan=-1.0))] = len(rows)
                rows.append(kind[::-1])
        other = [known[tuple(np.nan_to_num(kind[::-1], nan=-1.0))] for kind in rows]
        return Kinds(self.number, np.stack(rows)), np.array(other, np.int32)


def kinds_of(stuck_us: Matrix, weights: npt.NDArray[np.float64] | None = None) -> Kinds:
    """Tell the kinds of faults apart.

    Args:
        stuck_us: float32 ``(planes, p, s)``, NaN healthy [uS].
        weights: How much each plane matters, ``(planes,)``: the last to be ignored where there
            are more than :data:`MOST` kinds; None: all the same.
    """
    planes = len(stuck_us)
    number = np.zeros(stuck_us.shape[1:], np.int32)
    healthy = np.full((1, planes), np.nan, np.float32)
    where = np.flatnonzero(~np.isnan(stuck_us).all(0))
    if not len(where):
        return Kinds(number, healthy)
    found = np.nan_to_num(stuck_us.reshape(planes, -1)[:, where].T, nan=-1.0)
    kinds, inverse, count = _distinct(found)
    if len(kinds) >= MOST:
        low, high = found[found >= 0].min(), found.max()
        step = (high - low) / (_ROUNDED - 1) or 1.0
        rounded = low + step * np.round((found - low) / step)
        found = np.where(found < 0, found, rounded).astype(np.float32)
        kinds, inverse, count = _distinct(found)
    order = np.argsort(np.arange(planes) if weights is None else weights, kind="stable")
    for plane in order[:-1]:  # ignore the faults of lesser planes, of rare kinds only
        if len(kinds) < MOST:
            break
        rare = np.argsort(np.argsort(-count, kind="stable"), kind="stable") >= MOST // 2
        found[rare[inverse], plane] = -1.0
        kinds, inverse, count = _distinct(found)
    number.reshape(-1)[where] = inverse + 1
    stuck = np.where(kinds < 0, np.nan, kinds).astype(np.float32)
    return Kinds(number, np.concatenate([healthy, stuck]))


def _distinct(found: Matrix) -> tuple[Matrix, Numbers, npt.NDArray[np.int64]]:
    """Return distinct rows, which of them each row is, and how often each occurs."""
    code = np.zeros(len(found), np.int64)
    for plane in range(found.shape[1]):
        values, index = np.unique(found[:, plane], return_inverse=True)
        _, code = np.unique(code * len(values) + index, return_inverse=True)
    _, first, inverse, count = np.unique(
        code, return_index=True, return_inverse=True, return_counts=True
    )
    return found[first], inverse.astype(np.int32), count


@dataclass(slots=True)
class Losses:
    """Squared errors of the weights of a layer, by kind of fault.

    Attributes:
        cells: Of the layer; of the planes only shapes (and offset cells) matter.
        encoding: What they mean.
        target: The device.
        use: What cells may hold, see :class:`cimc.remap.settings.RemapSettings`.
        levels: Of the codebook; needed for ``codebook``.
        wanted: Weights, float32 ``(groups, rows, columns)``.
    """

    cells: Cells
    encoding: Encoding
    target: Target
    use: Literal["codebook", "states", "analog"]
    levels: Tensor | None
    wanted: Tensor
    _tables: dict[bytes, Matrix] = field(default_factory=dict)
    _healthy: Matrix | None = None
    _grid: Tensor | None = None
    _places: npt.NDArray[np.int16] | None = None

    def of(self, kinds: Kinds, group: int, rows: slice, columns: slice) -> Matrix:
        """Return what the weights of a tile lose in each kind of fault more than without.

        Returns:
            ``(w - nearest reachable)**2`` less that of healthy cells, float32
            ``(kinds, rows, columns)``; where all weights have the same choice, of the nearest of
            4,096 weights.
        """
        if not self._alike():
            part = [self._exact(k, group, rows, columns) for k in kinds.stuck_us]
            return np.stack(part) - part[0]
        if self._places is None:
            low, high = float(self.wanted.min()), float(self.wanted.max())
            step = (high - low) / (_POINTS - 1) or 1.0
            self._grid = low + step * torch.arange(_POINTS, dtype=torch.float32)
            self._places = ((self.wanted - low) / step).round().to(torch.int16).numpy()
        places = self._places[group, rows, columns]
        return np.stack([self._table(k).take(places) for k in kinds.stuck_us])

    def _alike(self) -> bool:
        """Whether all weights of the layer have the same values to choose from."""
        cells, size = self.cells, self.cells.gain.abs()
        one = bool((size == size[0]).all()) and (
            cells.states_us is None or cells.states_us.ndim == 1
        )
        one &= cells.multipliers is None or cells.multipliers.ndim == 1
        one &= cells.correction_us is None or cells.correction_us.numel() == 1
        return one and (self.levels is None or self.levels.ndim == 1)

    def _table(self, stuck: Matrix) -> Matrix:
        """Return the loss at every point of the grid, float32 ``(_POINTS,)``."""
        key = stuck.tobytes()
        if key not in self._tables:
            if len(self._tables) >= _KEPT:
                self._tables.clear()
            if self._healthy is None and not np.isnan(stuck).all():
                self._table(np.full_like(stuck, np.nan))
            assert self._grid is not None
            wanted = self._grid.reshape(1, -1, 1)
            planes = tuple(p[:1, :1, :1].expand(wanted.shape) for p in self.cells.planes)
            cells = replace(self.cells, planes=planes, gain=self.cells.gain[:1].abs())
            loss = _squared(self._options(cells, stuck, self.levels), wanted).reshape(-1)
            if self._healthy is None:
                self._healthy = loss
            self._tables[key] = loss - self._healthy
        found: Matrix = self._tables[key]
        return found

    def _exact(self, stuck: Matrix, group: int, rows: slice, columns: slice) -> Matrix:
        wanted = self.wanted[group : group + 1, rows, columns]
        cells, levels = self._part(group, rows, columns)
        loss: Matrix = _squared(self._options(cells, stuck, levels), wanted)[0]
        return loss

    def _part(self, group: int, rows: slice, columns: slice) -> tuple[Cells, Tensor | None]:
        """Return the cells and levels of one tile."""
        cells, total = self.cells, self.wanted.shape[2]
        own = slice(group * total + columns.start, group * total + columns.stop)
        planes = []
        for plane in cells.planes:
            shared = plane.shape[2] != total
            at = plane[group : group + 1, rows, :1] if shared else None
            planes.append(plane[group : group + 1, rows, columns] if at is None else at)
        gain = cells.gain if cells.gain.numel() == 1 else cells.gain[own]
        states, levels = cells.states_us, self.levels
        if states is not None and states.ndim == 2:
            states = states[own]
        if levels is not None and levels.ndim == 2:
            levels = levels[own]
        multipliers, correction = cells.multipliers, cells.correction_us
        if multipliers is not None and multipliers.ndim == 2:
            multipliers = multipliers[:, own]
        if correction is not None and correction.numel() > 1:
            correction = correction[own]
        return Cells(tuple(planes), states, gain.abs(), multipliers, correction), levels

    def _options(self, cells: Cells, stuck: Matrix, levels: Tensor | None) -> Options:
        planes = zip(cells.planes, stuck.tolist(), strict=True)
        found = CellFaults(tuple(torch.full((), us).expand(p.shape) for p, us in planes))
        return options_of(cells, self.encoding, found, self.target, use=self.use, levels=levels)


def _squared(options: Options, wanted: Tensor) -> Matrix:
    loss: Matrix = (wanted - options.nearest(wanted)[0]).square().numpy()
    return loss
