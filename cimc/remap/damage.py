"""What it costs to lay the rows or columns of a tile on other lines of its array.

The cost of row ``i`` on word line ``p`` is the sum over columns of ``h_ic`` times what weight
``(i, c)`` loses there.  Healthy cells cost nothing, so only places with faults are summed: a
product of a sparse matrix (which kind of fault is where) and a dense one (what each weight loses
in each kind), whose work grows with the number of faults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimc.remap.kinds import Kinds
from cimc.remap.losses import Losses

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]
Signs = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TileDamage:
    """The losses of one tile.

    Attributes:
        kinds: Kind of fault at every place: any of the word lines, any of the places for columns.
        other: Number of each kind with G+ and G- exchanged, int32 ``(k,)``; None: not a pair.
        loss: Weighted loss of every weight in each kind, float32 ``(k, rows, columns)``.
    """

    kinds: Kinds
    other: Numbers | None
    loss: Matrix

    @classmethod
    def of(
        cls,
        kinds: Kinds,
        losses: Losses,
        importance: Matrix,
        place: tuple[int, slice, slice],
        *,
        pairs: bool,
    ) -> TileDamage:
        """Work out the losses of a tile.

        Args:
            kinds: Of its places.
            losses: Of its layer.
            importance: Weight of each error, broadcast to ``(rows, columns)`` of the tile.
            place: Group, rows and columns of the tile.
            pairs: Whether G+ and G- may be exchanged.
        """
        other = None
        if pairs:
            kinds, other = kinds.swapped()
        return cls(kinds, other, losses.of(kinds, *place) * importance)

    def at(
        self, lines: Index, places: Index, sign: npt.NDArray[np.bool_] | None = None
    ) -> Numbers:
        """Return the kinds where lines and places cross, int32 ``(lines, places)``.

        Args:
            lines: Of word lines.
            places: Of places for columns.
            sign: Which columns have G+ and G- exchanged, bool ``(places,)``.
        """
        found = self.kinds.number[lines[:, None], places]
        if sign is None or self.other is None:
            return found
        return np.where(sign, self.other[found], found)

    def of_rows(self, kinds: Numbers) -> Matrix:
        """Return the cost of every row on every word line, float32 ``(rows, p)``.

        Args:
            kinds: Where word lines and the columns in their order cross, ``(p, columns)``.
        """
        count, rows, columns = self.loss.shape
        p, c = np.nonzero(kinds)
        where = kinds[p, c].astype(np.int64) * columns + c
        table = np.ascontiguousarray(self.loss.transpose(0, 2, 1)).reshape(count * columns, rows)
        return _product(p, where, len(kinds), table).T

    def of_columns(self, kinds: Numbers) -> Matrix:
        """Return the cost of every column at every place, float32 ``(columns, s)``.

        Args:
            kinds: Where the rows in their order and places cross, ``(rows, s)``.
        """
        count, rows, columns = self.loss.shape
        s, r = np.nonzero(kinds.T)
        where = kinds[r, s].astype(np.int64) * rows + r
        return _product(s, where, kinds.shape[1], self.loss.reshape(count * rows, columns)).T

    def per_column(self, kinds: Numbers) -> npt.NDArray[np.float64]:
        """Return what the columns lose as they lie, float64 ``(columns,)``.

        Args:
            kinds: Where rows and columns in their order cross, ``(rows, columns)``.
        """
        r, c = np.nonzero(kinds)
        lost = self.loss[kinds[r, c], r, c].astype(np.float64)
        return np.bincount(c, lost, minlength=kinds.shape[1]).astype(np.float64)

    def total(self, lines: Index, places: Index, signs: Signs) -> float:
        """Return what the tile loses when its rows and columns lie there."""
        return float(self.per_column(self.at(lines, places, signs)).sum())


def _product(lines: Index, where: Index, count: int, table: Matrix) -> Matrix:
    """Return sums of rows of a table: those named by ``where``, for each of ``lines`` (sorted)."""
    starts = np.searchsorted(lines, np.arange(count + 1))
    ones = np.ones(len(where), np.float32)
    from scipy.sparse import csr_array  # takes a while, and is not always needed

    picked = csr_array((ones, where, starts), shape=(count, len(table)))
    product: Matrix = picked @ table
    return product
