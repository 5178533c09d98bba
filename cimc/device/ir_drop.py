"""IR drop: what an array of cells with resistive wires does to its inputs, exactly.

A word line leaves its driver on the left, a bit line its sense amplifier at the bottom; a wire has
one segment before every cell, seen from its driver or amplifier.  Driver and amplifier add their
own resistance to the first segment, and the amplifier holds ground.  (The orientation of
badcrossbar, Joksas and Mehonic, SoftwareX 12 (2020) 100617.)

An array of linear cells is linear whatever its wires: the current of bit line j is
``sum_i T_ij v_i``.  :func:`transfer_us` returns ``T``, so that a read with IR drop remains a
matrix product.  It works by nested dissection (George, SIAM J. Numer. Anal. 10 (1973) 345):
blocks of cells are reduced to the nodes on their border, neighbours are joined and the nodes
between them eliminated, all blocks of one size at once.  That takes ``O(N^3)`` for an ``N x N``
array, in dense matrix products; elimination row by row takes ``O(N^4)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from cimc.device.ir_drop_ladder import attenuation, row_admittance
from cimc.device.ir_drop_leaves import leaves

#: Siemens per microsiemens.
MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Wires:
    """Resistances of an array.

    Attributes:
        word_line_ohm: One segment of a word line, at least 0 [ohm].
        bit_line_ohm: One segment of a bit line [ohm].
        driver_ohm: Of a word-line driver, before the first segment [ohm].
        sense_ohm: Of a sense amplifier, after the last segment [ohm].
    """

    word_line_ohm: float = 0.0
    bit_line_ohm: float = 0.0
    driver_ohm: float = 0.0
    sense_ohm: float = 0.0

    @property
    def ideal(self) -> bool:
        """Whether nothing resists."""
        return not (self.word_line_ohm or self.bit_line_ohm or self.driver_ohm or self.sense_ohm)

    def below(self, word_lines: int) -> Wires:
        """Return the wires of an array with that many idle word lines before the amplifiers."""
        sense = self.sense_ohm + word_lines * self.bit_line_ohm
        return Wires(self.word_line_ohm, self.bit_line_ohm, self.driver_ohm, sense)

    def mirrored(self) -> Wires:
        """Return the wires of the array whose bit lines are driven and word lines sensed."""
        return Wires(self.bit_line_ohm, self.word_line_ohm, self.sense_ohm, self.driver_ohm)


def transfer_us(g_us: Tensor, wires: Wires) -> Tensor:
    """Return what the bit lines see of an array through its wires.

    Args:
        g_us: Conductances, ``(..., rows, columns)`` [uS]; none negative.  Word lines from the top,
            bit lines from the driver.  Word lines that are not driven carry nothing and are left
            out; those between the last driven one and the amplifiers are put into the wires by
            :meth:`Wires.below`.
        wires: Resistances, any of them 0.

    Returns:
        float64 in the shape of ``g_us`` [uS]: the current into each bit line per volt on each word
        line.  Without wires it is ``g_us`` itself.
    """
    g = g_us.to(torch.float64)
    if wires.ideal or not g.numel():
        return g
    flat = g.reshape(-1, *g.shape[-2:]) * MICRO
    return (_transfer(flat, wires) / MICRO).reshape(g.shape)


def _transfer(g: Tensor, wires: Wires) -> Tensor:
    """Return the transfer matrices of arrays ``(batch, rows, columns)`` [S]."""
    if wires.bit_line_ohm == 0.0:
        return _lumped(g, wires)
    if wires.word_line_ohm == 0.0:
        mirror = g.flip(1, 2).transpose(1, 2)
        return _lumped(mirror, wires.mirrored()).transpose(1, 2).flip(1, 2)
    return _dissected(g, wires)


def _lumped(g: Tensor, wires: Wires) -> Tensor:
    """Bit lines that are one node each: every word line is a ladder of its own.

    The currents of all word lines, ``sum_i (s_i v_i - K_i w)``, raise the bit lines to
    ``w = sense_ohm * current``.
    """
    source = g * attenuation(g, wires.word_line_ohm, wires.driver_ohm)
    if wires.sense_ohm == 0.0:
        return source
    admittance = row_admittance(g, wires.word_line_ohm, wires.driver_ohm)
    one = torch.eye(g.shape[2], dtype=g.dtype, device=g.device)
    loaded = one + wires.sense_ohm * admittance
    seen: Tensor = torch.linalg.solve(loaded, source.transpose(1, 2))
    return seen.transpose(1, 2)


def _dissected(g: Tensor, wires: Wires) -> Tensor:
    """Both wires resist: nested dissection."""
    _, rows, columns = g.shape
    height, tall = split(rows)
    width, wide = split(columns)
    # Cells that conduct nothing, above and to the right: dangling wires, which carry no current.
    g = torch.nn.functional.pad(g, (0, width * wide - columns, height * tall - rows, 0))
    joins = _joins(tall, wide)
    blocks = leaves(
        g,
        (height, width),
        (1.0 / wires.word_line_ohm, 1.0 / (wires.word_line_ohm + wires.driver_ohm)),
        (1.0 / wires.bit_line_ohm, 1.0 / (wires.bit_line_ohm + wires.sense_ohm)),
        downwards=joins[:1] == "d",
    )
    for this, following in pairwise(joins + "r"):
        blocks = blocks.joined(turn=this != following)
    blocks = blocks.opened()
    while blocks.along > 1:
        blocks = blocks.joined(turn=False)
    return blocks.transfer()[:, height * tall - rows :, :columns]


def _joins(tall: int, wide: int) -> str:
    """Return the axes to join along until word lines are whole: to the right, or downwards."""
    joins = ""
    while wide > 1:
        if tall > wide:
            joins, tall = joins + "d", tall // 2
        else:
            joins, wide = joins + "r", wide // 2
    return joins


def split(size: int, leaf: int = 5) -> tuple[int, int]:
    """Return the cells of a leaf along one axis and the number of leaves, a power of two.

    Args:
        size: Cells along the axis, at least 1.
        leaf: Most cells of a leaf.
    """
    halvings = max(0, math.ceil(math.log2(size / leaf)))
    count = 1 << halvings
    return -(-size // count), count
