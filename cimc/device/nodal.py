"""Exact node voltages of an array with resistive wires, by one sparse factorization.

The reference for :mod:`cimc.device.ir_drop`, and the faster way when an array is read only a few
times.  Same circuit, same orientation; nodes that no resistance separates are one node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu

from cimc.device.ir_drop import MICRO, Wires

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


class Nodal:
    """One array, factored once for any number of inputs.

    Attributes:
        rows: Word lines [-].
        columns: Bit lines [-].
    """

    def __init__(self, g_us: npt.NDArray[Any], wires: Wires) -> None:
        """Set up Kirchhoff's equations and factor them.

        Args:
            g_us: Conductances, ``(rows, columns)`` [uS].
            wires: Resistances, any of them 0.
        """
        g = np.asarray(g_us, dtype=np.float64) * MICRO
        self.rows, self.columns = g.shape
        self._g, word, bit = g, *_nodes(g.shape, wires)
        self._word, self._bit = word, bit
        ends = [*_wire(word, self._drivers, wires.word_line_ohm, wires.driver_ohm)]
        ends += _wire(bit[::-1].T, self._senses, wires.bit_line_ohm, wires.sense_ohm)
        ends.append((word.ravel(), bit.ravel(), g.ravel()))
        a, b, c = (np.concatenate(part) for part in zip(*ends, strict=True))
        self._unknown = np.unique(np.concatenate([word.ravel(), bit.ravel()]))
        self._unknown = self._unknown[self._unknown >= self.rows + self.columns]
        number = np.full(int(max(word.max(), bit.max())) + 1, -1, np.int64)
        number[self._unknown] = np.arange(len(self._unknown))
        self._number = number
        size = len(number)
        rows = np.concatenate([a, b, a, b])
        columns = np.concatenate([b, a, a, b])
        values = np.concatenate([-c, -c, c, c])
        whole = coo_matrix((values, (rows, columns)), (size, size)).tocsc()
        inner = whole[self._unknown][:, self._unknown]
        self._from_drivers = whole[self._unknown][:, : self.rows]
        self._factor = _factored(csc_matrix(inner)) if len(self._unknown) else None

    @property
    def _drivers(self) -> Index:
        return np.arange(self.rows)

    @property
    def _senses(self) -> Index:
        return np.arange(self.rows, self.rows + self.columns)

    def voltages(self, inputs: npt.NDArray[Any]) -> tuple[Array, Array]:
        """Return the voltages of the word-line and bit-line node of each cell.

        Args:
            inputs: Driver voltages, ``(inputs, rows)`` [V].

        Returns:
            Two of ``(inputs, rows, columns)`` [V].
        """
        nodes = self._solved(inputs)
        word, bit = nodes[self._word], nodes[self._bit]
        return np.moveaxis(word, 2, 0), np.moveaxis(bit, 2, 0)

    def currents(self, inputs: npt.NDArray[Any]) -> Array:
        """Return the current into each sense amplifier, ``(inputs, columns)`` [uA].

        Args:
            inputs: Driver voltages, ``(inputs, rows)`` [V].
        """
        nodes = self._solved(inputs)
        total = np.zeros((nodes.shape[1], self.columns))
        for word, bit, g in zip(self._word, self._bit, self._g / MICRO, strict=True):
            total += ((nodes[word] - nodes[bit]) * g[:, None]).T
        return total

    def _solved(self, inputs: npt.NDArray[Any]) -> Array:
        """Return the voltages of all nodes, ``(nodes, inputs)`` [V]."""
        v = np.asarray(inputs, dtype=np.float64)
        nodes = np.zeros((len(self._number), len(v)))
        nodes[: self.rows] = v.T
        if self._factor is not None:
            right = np.asfortranarray(-(self._from_drivers @ v.T))
            nodes[self._unknown] = self._factor.solve(right)
        return nodes


def _factored(matrix: csc_matrix) -> Any:
    # Positive definite: no pivoting, and an order that keeps the factors of a grid sparse.
    options = {"SymmetricMode": True}
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def _nodes(shape: tuple[int, ...], wires: Wires) -> tuple[Index, Index]:
    """Return the node of each cell on its word line and bit line, int64 ``(rows, columns)``.

    Drivers and amplifiers come first; where nothing resists they are the nodes of their lines.
    """
    rows, columns = shape
    first = rows + columns
    word = first + np.arange(rows * columns).reshape(shape)
    if wires.word_line_ohm == 0.0:
        line = np.arange(rows)[:, None]
        word = np.broadcast_to(line + (first if wires.driver_ohm else 0), shape)
    bit = first + rows * columns + np.arange(rows * columns).reshape(shape)
    if wires.bit_line_ohm == 0.0:
        line = np.arange(columns)
        start = first + rows * columns if wires.sense_ohm else rows
        bit = np.broadcast_to(line + start, shape)
    return word, bit


def _wire(
    nodes: Index, ends: Index, segment_ohm: float, end_ohm: float
) -> list[tuple[Index, Index, Array]]:
    """Return the conductances of lines: nodes from their end on, ``(lines, nodes)``."""
    first = segment_ohm + end_ohm
    if first == 0.0:
        return []
    edges = [(ends, nodes[:, 0], np.full(len(ends), 1.0 / first))]
    if segment_ohm:
        a, b = nodes[:, :-1].ravel(), nodes[:, 1:].ravel()
        edges.append((a, b, np.full(len(a), 1.0 / segment_ohm)))
    return edges
