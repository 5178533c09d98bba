"""Rectangles of cells, reduced to the nodes on their borders.

A block has ports where its wires leave it: on the left the ends of its word lines' first
segments, on the right the word-line nodes of its last column, at the top the bit-line nodes of its
first row, at the bottom the ends of its bit lines' last segments.  Inside there is nothing but
conductances between ports, so a block is a symmetric matrix of admittances whose rows sum to zero.
Diagonals are always made from the rest of their row: then nothing cancels, and small conductances
between small resistances keep their digits (Grassmann, Taksar, Heyman, Oper. Res. 33 (1985) 1107).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the ports of a block stand in its matrix: int64 indices, in order along the border."""

    left: Tensor
    right: Tensor
    top: Tensor
    bottom: Tensor

    def moved(self, position: Tensor) -> Ports:
        """Return the ports at new places; -1 for those that are gone."""
        sides = (self.left, self.right, self.top, self.bottom)
        return Ports(*(position[side] for side in sides))


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks of some arrays, of equal size.

    Attributes:
        y: Admittances, ``(arrays, tall, wide, ports, ports)`` [S].
        ports: Where they stand.
    """

    y: Tensor
    ports: Ports

    @property
    def tall(self) -> int:
        """Blocks along a bit line [-]."""
        return self.y.shape[1]

    @property
    def wide(self) -> int:
        """Blocks along a word line [-]."""
        return self.y.shape[2]

    def joined_right(self) -> Blocks:
        """Join every second block with its right neighbour."""
        ports = self.ports
        y, a, b = _join(self.y[:, :, 0::2], self.y[:, :, 1::2], ports.right, ports.left)
        left, right = ports.moved(a), ports.moved(b)
        top, bottom = torch.cat([left.top, right.top]), torch.cat([left.bottom, right.bottom])
        return Blocks(y, Ports(left.left, right.right, top, bottom))

    def joined_below(self) -> Blocks:
        """Join every second block with the one below it."""
        ports = self.ports
        y, a, b = _join(self.y[:, 0::2], self.y[:, 1::2], ports.bottom, ports.top)
        upper, lower = ports.moved(a), ports.moved(b)
        left, right = torch.cat([upper.left, lower.left]), torch.cat([upper.right, lower.right])
        return Blocks(y, Ports(left, right, upper.top, lower.bottom))

    def open_right(self) -> Blocks:
        """End the word lines of blocks that have no right neighbour, in the open."""
        kept = _others(self.y.shape[-1], self.ports.right)
        y = balanced(_eliminated(self.y, self.ports.right, kept, kept))
        ports = self.ports.moved(_places(self.y.shape[-1], kept, 0))
        return Blocks(y, Ports(ports.left, ports.right[:0], ports.top, ports.bottom))

    def transfer(self) -> Tensor:
        """Return what flows out at the bottom per volt on the left, ``(arrays, rows, columns)``.

        For one block an array whose word lines have ended: the top is open, the bottom at ground.
        """
        ports = self.ports
        return -_eliminated(self.y[:, 0, 0], ports.top, ports.left, ports.bottom)


def _eliminated(y: Tensor, inner: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the admittances between rows and columns when inner nodes are left to themselves."""
    factor = torch.linalg.cholesky(_part(y, inner, inner))
    outward = torch.linalg.solve_triangular(factor, _part(y, inner, rows), upper=False)
    other = outward
    if rows is not columns:
        other = torch.linalg.solve_triangular(factor, _part(y, inner, columns), upper=False)
    between: Tensor = outward.mT @ other
    return _part(y, rows, columns) - between


def _part(y: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return y.index_select(-2, rows).index_select(-1, columns)


def _join(
    first: Tensor, second: Tensor, out: Tensor, into: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Connect ports of blocks, and eliminate the nodes that become of them.

    Args:
        first: Matrices of some blocks.
        second: Of their neighbours, with the same ports.
        out: Ports of the first.
        into: Ports of the second they are connected with.

    Returns:
        The matrices of the joined blocks, and where the ports of the first and second stand now.
    """
    shape, size = first.shape[:-2], first.shape[-1]
    first, second = first.reshape(-1, size, size), second.reshape(-1, size, size)
    kept_first, kept_second = _others(size, out), _others(size, into)
    inner = _part(first, out, out) + _part(second, into, into)
    factor = torch.linalg.cholesky(inner)
    outward = torch.cat([_part(first, out, kept_first), _part(second, into, kept_second)], 2)
    half = torch.linalg.solve_triangular(factor, outward, upper=False)
    near, far = half.split([len(kept_first), len(kept_second)], 2)
    one = torch.baddbmm(_part(first, kept_first, kept_first), near.mT, near, alpha=-1.0)
    two = torch.baddbmm(_part(second, kept_second, kept_second), far.mT, far, alpha=-1.0)
    between = -(near.mT @ far)
    y = torch.cat([torch.cat([one, between], 2), torch.cat([between.mT, two], 2)], 1)
    y = balanced(y).reshape(*shape, y.shape[-1], y.shape[-1])
    return y, _places(size, kept_first, 0), _places(size, kept_second, len(kept_first))


def balanced(y: Tensor) -> Tensor:
    """Give admittances, in place, a diagonal that makes every row sum to zero."""
    diagonal = torch.diagonal(y, dim1=-2, dim2=-1)
    diagonal.zero_()
    diagonal.sub_(y.sum(-1))
    return y


def _others(size: int, ports: Tensor) -> Tensor:
    keep = torch.ones(size, dtype=torch.bool, device=ports.device)
    keep[ports] = False
    return keep.nonzero()[:, 0]


def _places(size: int, kept: Tensor, first: int) -> Tensor:
    places = torch.full((size,), -1, dtype=torch.int64, device=kept.device)
    places[kept] = torch.arange(first, first + len(kept), device=kept.device)
    return places
