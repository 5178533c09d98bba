"""How a weight tensor lies on crossbars as a stack of matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

WeightKind = Literal["conv", "conv-transpose", "matrix", "matrix-left", "recurrent"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """A weight as ``groups`` matrices of ``rows`` (inputs, word lines) by ``columns`` (outputs).

    Attributes:
        kind: How the source operator lays out the weight tensor:
            ``conv``: ``(groups*columns, rows/prod(kernel), *kernel)``, a row is a channel and a
            kernel position, channel-major; ``conv-transpose``:
            ``(groups*rows, columns/prod(kernel), *kernel)``, a column is an output channel and a
            kernel position, channel-major; ``matrix``: ``(*stack, rows, columns)``, or
            ``(*stack, columns, rows)`` when ``transposed``; ``matrix-left``: the constant is the
            left operand, ``(*stack, columns, rows)``; ``recurrent``: ``(groups, columns, rows)``.
        groups: Matrices in the stack [-].
        rows: Inputs of one matrix [-].
        columns: Outputs of one matrix [-].
        kernel: Spatial kernel sizes; empty unless a convolution.
        transposed: ``matrix`` only: the tensor is stored ``(columns, rows)``.
        stack: ``matrix`` and ``matrix-left``: the axes of the weight before the last two, their
            product is ``groups``; empty for a plain matrix.
    """

    kind: WeightKind
    groups: int
    rows: int
    columns: int
    kernel: tuple[int, ...] = ()
    transposed: bool = False
    stack: tuple[int, ...] = ()

    @property
    def taps(self) -> int:
        """Kernel positions, ``prod(kernel)`` [-]; 1 for a matrix."""
        return math.prod(self.kernel)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the matrix stack, ``(groups, rows, columns)``."""
        return (self.groups, self.rows, self.columns)

    def to_matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as matrices, ``(groups, rows, columns)``; a view where it can be."""
        g, r, c = self.shape
        if self.kind == "conv":
            return weight.reshape(g, c, r).transpose(1, 2)
        if self.kind == "conv-transpose":
            return weight.reshape(g, r, c)
        if self.kind == "matrix" and not self.transposed:
            return weight.reshape(g, r, c)
        return weight.reshape(g, c, r).transpose(1, 2)

    def from_matrix(self, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Undo :meth:`to_matrix`: return the matrix stack as a weight tensor of that shape."""
        if self.kind == "conv-transpose" or (self.kind == "matrix" and not self.transposed):
            return matrix.reshape(shape)
        return matrix.transpose(1, 2).reshape(shape)
