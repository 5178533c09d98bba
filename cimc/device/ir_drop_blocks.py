"""Rectangles of cells, reduced to the nodes on their borders.

A block has ports where its wires leave it: on the left the ends of its word lines' first
segments, on the right the word-line nodes of its last column, at the top the bit-line nodes of its
first row, at the bottom the ends of its bit lines' last segments.  Inside there is nothing but
conductances between ports, so a block is a symmetric matrix of admittances whose rows sum to zero.
Diagonals are always made from the rest of their row: then nothing cancels, and small conductances
between small resistances keep their digits (Grassmann, Taksar, Heyman, Oper. Res. 33 (1985) 1107).

Blocks are joined along one axis, with the neighbours on their right or those below.  The ports of
a block stand in its matrix in the order near, cross, far: for the axis to the right these are
left, (top, bottom), right; for the axis downwards top, (left, right), bottom.  So every part of a
matrix is a slice, and a matrix is written once, as the next join wants it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Part of the first (0) or second (1) of two blocks: ports between two indices.
_Part = tuple[int, slice]


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks of some arrays, of equal size, about to be joined along one axis.

    Attributes:
        y: Admittances, ``(arrays, blocks across the axis, blocks along it, ports, ports)`` [S].
        near: Ports on the near side, and as many on the far side [-].
        cross: Ports on a side along the axis [-].
        crosses: Sides along the axis that have ports: 2, or 1 where lines end in the open [-].
    """

    y: Tensor
    near: int
    cross: int
    crosses: int = 2

    @property
    def along(self) -> int:
        """Blocks along the axis [-]."""
        return self.y.shape[2]

    def joined(self, *, turn: bool) -> Blocks:
        """Join every second block with its neighbour.

        Args:
            turn: Whether the next join is along the other axis.
        """
        first, second = self.y[:, :, 0::2].flatten(0, 2), self.y[:, :, 1::2].flatten(0, 2)
        near, kept = self.near, self.y.shape[-1] - self.near
        inner = first[:, kept:, kept:] + second[:, :near, :near]
        outward = torch.cat([first[:, kept:, :kept], second[:, :near, near:]], 2)
        factor = torch.linalg.cholesky(inner)
        half = torch.linalg.solve_triangular(factor, outward, upper=False)
        a, b = half[:, :, :kept], half[:, :, kept:]
        one = torch.baddbmm(first[:, :kept, :kept], a.mT, a, alpha=-1.0)
        two = torch.baddbmm(second[:, near:, near:], b.mT, b, alpha=-1.0)
        between = (-a.mT) @ b
        y = self._written({(0, 0): one, (1, 1): two, (0, 1): between, (1, 0): between.mT}, turn)
        if turn:
            return Blocks(y, 2 * self.cross, near)
        return Blocks(y, near, 2 * self.cross, self.crosses)

    def _parts(self, turn: bool) -> list[_Part]:
        """Return the ports of a joined block in the order the next join wants them."""
        near, cross = self.near, self.cross
        start = (0, slice(0, near))
        end = (1, slice(self.crosses * cross, self.crosses * cross + near))
        sides: list[list[_Part]] = [
            [
                (0, slice(near + side * cross, near + (side + 1) * cross)),
                (1, slice(side * cross, (side + 1) * cross)),
            ]
            for side in range(self.crosses)
        ]
        if turn:
            return [*sides[0], start, end, *sides[1]]
        return [start, *(part for side in sides for part in side), end]

    def _written(self, pieces: dict[tuple[int, int], Tensor], turn: bool) -> Tensor:
        """Return the matrices of joined blocks, put together from those of their ports."""
        arrays, across, along = self.y.shape[:3]
        parts = self._parts(turn)
        size = sum(part.stop - part.start for _, part in parts)
        grid = (along // 2, across) if turn else (across, along // 2)
        y = self.y.new_empty((arrays, *grid, size, size))
        here = y.transpose(1, 2) if turn else y
        row = 0
        for i, rows in parts:
            column, low = 0, row
            row += rows.stop - rows.start
            for j, columns in parts:
                left = column
                column += columns.stop - columns.start
                piece = pieces[i, j][:, rows, columns]
                here[..., low:row, left:column] = piece.reshape(*here.shape[:3], *piece.shape[1:])
        return balanced(y)

    def opened(self) -> Blocks:
        """End the lines of blocks that have no far neighbour, in the open; turn the axis."""
        y, near, cross = self.y, self.near, self.cross
        kept = y.shape[-1] - near
        y = _eliminated(y, slice(kept, None), slice(0, kept), slice(0, kept))
        order = [slice(near, near + cross), slice(0, near), slice(near + cross, None)]
        rows = [torch.cat([y[..., i, j] for j in order], -1) for i in order]
        y = torch.cat(rows, -2).transpose(1, 2).contiguous()
        return Blocks(balanced(y), cross, near, 1)

    def transfer(self) -> Tensor:
        """Return what flows out at the far side per volt on the cross side.

        For one block an array, after :meth:`opened`: the near side is open, the far side at
        ground.  ``(arrays, cross, near)`` [S].
        """
        near, cross = self.near, self.cross
        sides = slice(0, near), slice(near, near + cross), slice(near + cross, None)
        return -_eliminated(self.y[:, 0, 0], *sides)


def _eliminated(y: Tensor, inner: slice, rows: slice, columns: slice) -> Tensor:
    """Return the admittances between rows and columns when inner nodes are left to themselves."""
    factor = torch.linalg.cholesky(y[..., inner, inner])
    outward = torch.linalg.solve_triangular(factor, y[..., inner, rows], upper=False)
    other = outward
    if rows != columns:
        other = torch.linalg.solve_triangular(factor, y[..., inner, columns], upper=False)
    between: Tensor = outward.mT @ other
    return y[..., rows, columns] - between


def balanced(y: Tensor) -> Tensor:
    """Give admittances, in place, a diagonal that makes every row sum to zero."""
    diagonal = torch.diagonal(y, dim1=-2, dim2=-1)
    diagonal.zero_()
    diagonal.sub_(y.sum(-1))
    return y
