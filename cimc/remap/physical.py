"""The faults of a chip as its arrays have them, and as the weights of a layer see them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MAX, AT_G_MIN, FaultMap
from cimc.ir.layer import CrossbarLayer
from cimc.program.model import FaultRecord, ProgramLayer
from cimc.remap.lines import TileLines, as_program_layer, tiles_of
from cimc.remap.options_types import CellFaults
from cimc.targets import Target

Matrix = npt.NDArray[np.float32]

#: Memory of the dense arrays kept at once [bytes]; an array of 256 x 256 takes 256 KiB.
CACHE_BYTES: Final = 64 << 20
#: Faulty cells counted at once.
_CHUNK: Final = 1 << 20


class ChipFaults:
    """The faults of one chip, array by array, made dense when they are asked for.

    Args:
        faults: What a tester found, or what a program keeps of it.
        target: The chip's target; its G_min and G_max are what cells in states 1 and 2 have.
    """

    def __init__(self, faults: FaultMap | FaultRecord, target: Target) -> None:
        cells, us = faults.cells, faults.conductance_us
        if (cells[1:, 0] < cells[:-1, 0]).any():
            order = np.argsort(cells[:, 0], kind="stable")
            cells, us = cells[order], us[order]
        values = np.zeros(4, np.float32)
        values[AT_G_MIN], values[AT_G_MAX] = target.cell.g_min_us, target.cell.g_max_us
        given = cells[:, 3] == AT_CONDUCTANCE
        self._cells = cells
        # Contiguous and of the type that is searched for, or every search would copy it.
        self._array = np.ascontiguousarray(cells[:, 0], np.int64)
        self._us = np.where(given, us, values[cells[:, 3]]).astype(np.float32)
        self._middle = (target.cell.g_min_us + target.cell.g_max_us) / 2
        self._gains = faults
        gains = () if faults.gain_arrays is None else faults.gain_arrays.tolist()
        self._gain_at = {int(array): index for index, array in enumerate(gains)}
        self._shape = target.array.rows, target.array.columns
        self._kept: OrderedDict[int, Matrix] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()  # layers are made side by side
        tested = faults.arrays.tolist() if isinstance(faults, FaultMap) else []
        #: Arrays the tester looked at.
        self.tested = frozenset(tested) | frozenset(self._gain_at)

    def count(self, array: int) -> int:
        """Return the faulty cells of an array [-]."""
        low, high = np.searchsorted(self._array, (array, array + 1))
        return int(high - low)

    def stuck_us(self, array: int) -> Matrix:
        """Return the conductance of the stuck cells of an array, NaN for healthy ones.

        Returns:
            float32 ``(rows, columns)`` [uS], not to be written to; without a limit in the target
            as large as the faults need.
        """
        with self._lock:
            if array in self._kept:
                self._kept.move_to_end(array)
                return self._kept[array]
        low, high = np.searchsorted(self._array, (array, array + 1))
        cells = self._cells[low:high]
        rows = self._shape[0] or int(cells[:, 1].max(initial=-1)) + 1
        columns = self._shape[1] or int(cells[:, 2].max(initial=-1)) + 1
        dense = np.full((rows, columns), np.nan, np.float32)
        dense[cells[:, 1], cells[:, 2]] = self._us[low:high]
        dense.setflags(write=False)
        with self._lock:
            if array not in self._kept:
                self._kept[array] = dense
                self._bytes += dense.nbytes
            while self._bytes > CACHE_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return dense

    def shares(self, arrays: npt.NDArray[np.int64], parts: int) -> npt.NDArray[np.float32]:
        """Return which share of the cells in each part of each array is stuck low, and high.

        Args:
            arrays: Ascending; of limited size.
            parts: Along each side.

        Returns:
            float32 ``(2, arrays, parts * parts)``: nearer to G_min, nearer to G_max.
        """
        rows, columns = self._shape
        assert rows is not None
        assert columns is not None
        count = np.zeros(2 * len(arrays) * parts**2, np.int64)
        for first in range(0, len(self._cells), _CHUNK):
            cells, us = (x[first : first + _CHUNK] for x in (self._cells, self._us))
            at = np.searchsorted(arrays, cells[:, 0])
            known = arrays[np.minimum(at, len(arrays) - 1)] == cells[:, 0]
            at, cells = at[known], cells[known].astype(np.int64)
            part = cells[:, 1] * parts // rows * parts + cells[:, 2] * parts // columns
            where = ((us[known] > self._middle) * len(arrays) + at) * parts**2 + part
            count += np.bincount(where, minlength=len(count))
        tall, wide = (
            np.bincount(np.arange(n) * parts // n, minlength=parts) for n in (rows, columns)
        )
        cells_of = np.maximum(np.outer(tall, wide), 1).reshape(-1)
        return (count.reshape(2, len(arrays), -1) / cells_of).astype(np.float32)

    def gains(self, array: int) -> tuple[Matrix, Matrix] | None:
        """Return the measured gains of an array ([NM Eq. 12]), LRS and HRS.

        Returns:
            Two float32 ``(rows, columns)`` [-]; None where none were measured.
        """
        at = self._gain_at.get(array)
        if at is None:
            return None
        lrs, hrs = self._gains.gain_lrs, self._gains.gain_hrs
        known = hrs if lrs is None else lrs
        assert known is not None, "one of the two states was measured"
        ones = np.ones_like(known[at])
        return ones if lrs is None else lrs[at], ones if hrs is None else hrs[at]

    @property
    def has_gains(self) -> bool:
        """Whether gains of any array were measured."""
        return bool(self._gain_at)

    def stuck_at(
        self, array: int, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32]
    ) -> Matrix:
        """Return :meth:`stuck_us` at the crossings of word lines and bit lines."""
        if not self.count(array):
            return np.full((len(rows), len(columns)), np.nan, np.float32)
        if None in self._shape:
            return self._looked_up(array, rows, columns)
        return _crossings(self.stuck_us(array), rows, columns, np.float32(np.nan))

    def _looked_up(
        self, array: int, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32]
    ) -> Matrix:
        """Return :meth:`stuck_at` of an array without limits: its faults may lie anywhere."""
        low, high = np.searchsorted(self._array, (array, array + 1))
        cells, us = self._cells[low:high], self._us[low:high]
        here = np.isin(cells[:, 1], rows) & np.isin(cells[:, 2], columns)
        cells, us = cells[here], us[here]
        (lines, high_at), (bits, wide_at) = (
            np.unique(given, return_inverse=True) for given in (rows, columns)
        )
        dense = np.full((len(lines), len(bits)), np.nan, np.float32)
        dense[np.searchsorted(lines, cells[:, 1]), np.searchsorted(bits, cells[:, 2])] = us
        found: Matrix = dense[high_at[:, None], wide_at]
        return found


def cell_faults(layer: CrossbarLayer | ProgramLayer, faults: ChipFaults) -> CellFaults:
    """Return the faults of a layer's cells, in the order of its weights.

    Args:
        layer: With cells, tiles and (where it has them) maps of word lines and bit lines.
        faults: Of the chip.

    Returns:
        Per plane, in the shape of the plane.  Gains are None unless an array of the layer was
        measured; 1 on arrays that were not.
    """
    own = as_program_layer(layer)
    shapes = [plane.shape for plane in own.cells.planes]
    stuck = [np.full(shape, np.nan, np.float32) for shape in shapes]
    tiles = list(tiles_of(own))
    measured = faults.has_gains and any(
        faults.gains(tile.plane(k)[0]) is not None for tile in tiles for k in range(len(shapes))
    )
    lrs = [np.ones(shape if measured else (0,), np.float32) for shape in shapes]
    hrs = [np.ones(shape if measured else (0,), np.float32) for shape in shapes]
    for tile in tiles:
        for k in range(len(shapes)):
            array, bits = tile.plane(k)
            at = tile.cells(k)
            if faults.count(array):
                stuck[k][at] = faults.stuck_at(array, tile.word_lines, bits)
            gains = faults.gains(array) if measured else None
            if gains is not None:
                one = np.float32(1.0)
                lrs[k][at] = _crossings(gains[0], tile.word_lines, bits, one)
                hrs[k][at] = _crossings(gains[1], tile.word_lines, bits, one)
    return CellFaults(
        tuple(torch.from_numpy(s) for s in stuck),
        tuple(torch.from_numpy(g) for g in lrs) if measured else None,
        tuple(torch.from_numpy(g) for g in hrs) if measured else None,
    )


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """What the faults of a chip mean for a layer.

    Attributes:
        cells: Cells of the layer, offset cells included [-].
        faulty_cells: Those that are stuck [-].
        affected_weights: Weights with a stuck cell among theirs [-].
    """

    cells: int
    faulty_cells: int
    affected_weights: int


def counts(layer: CrossbarLayer | ProgramLayer, found: CellFaults) -> FaultCounts:
    """Count faults of a layer.

    Args:
        layer: The layer.
        found: Its :func:`cell_faults`.
    """
    own = as_program_layer(layer)
    stuck = [~torch.isnan(plane) for plane in found.stuck_us]
    affected = stuck[0].clone()
    if all(plane.shape == affected.shape for plane in stuck):
        for plane in stuck[1:]:
            affected |= plane
    else:  # cells that weights share count for each of them
        for tile in tiles_of(own):
            for k, plane in enumerate(stuck):
                affected[tile.group, tile.rows, tile.columns] |= plane[tile.cells(k)]
    return FaultCounts(
        cells=sum(plane.numel() for plane in stuck),
        faulty_cells=sum(int(plane.sum()) for plane in stuck),
        affected_weights=int(affected.sum()),
    )


def tile_stuck(
    tile: TileLines,
    planes: int,
    faults: ChipFaults,
    word_lines: npt.NDArray[np.int32],
    bit_lines: npt.NDArray[np.int32],
) -> Matrix:
    """Return what is stuck where a tile's columns cross word lines it may lie on.

    Args:
        tile: The tile.
        planes: Cells of a weight.
        faults: Of the chip.
        word_lines: Any of the array, int32 ``(p,)``.
        bit_lines: First bit line of each place for a column, int32 ``(s,)``; with offset cells
            one more, theirs.

    Returns:
        float32 ``(planes, p, s)`` [uS], NaN healthy; offset cells repeated for every column.
    """
    moved = TileLines(
        tile.number, tile.group, tile.rows, tile.columns, tile.column_tile, tile.array,
        word_lines, bit_lines, tile.layout,
    )  # fmt: skip
    places = len(bit_lines) - tile.layout.extra
    out = np.empty((planes, len(word_lines), places), np.float32)
    for k in range(planes):
        array, bits = moved.plane(k)
        out[k] = faults.stuck_at(array, word_lines, bits)
    return out


def _crossings(
    dense: Matrix,
    rows: npt.NDArray[np.int32],
    columns: npt.NDArray[np.int32],
    beyond: np.float32,
) -> Matrix:
    """Return ``dense`` at the crossings; ``beyond`` outside of it (only unlimited arrays)."""
    if rows.max(initial=-1) < dense.shape[0] and columns.max(initial=-1) < dense.shape[1]:
        high, wide = _in_order(rows), _in_order(columns)
        both = high is not None and wide is not None
        found: Matrix = dense[high, wide] if both else dense[rows[:, None], columns]
        return found
    out = np.full((len(rows), len(columns)), beyond, np.float32)
    r, c = np.flatnonzero(rows < dense.shape[0]), np.flatnonzero(columns < dense.shape[1])
    out[np.ix_(r, c)] = dense[np.ix_(rows[r], columns[c])]
    return out


def _in_order(lines: npt.NDArray[np.int32]) -> slice | None:
    """Return lines an equal step apart as a slice, which is copied at once; None: others."""
    if not len(lines):
        return slice(0, 0)
    first, last = int(lines[0]), int(lines[-1])
    step = int(lines[1]) - first if len(lines) > 1 else 1
    if step <= 0 or (np.diff(lines) != step).any():
        return None
    return slice(first, last + 1, step)
