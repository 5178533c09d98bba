"""The smallest blocks of an array, by star-mesh elimination.

A node without a source, joined to others by conductances ``c_a``, is replaced by a conductance
``c_a c_b / sum c`` between each two of them.  Every step is done for all blocks of all arrays at
once; nothing is ever subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from cimc.device.ir_drop_blocks import Blocks, balanced

#: Conductance of a segment, and of the one beside driver or amplifier, which adds theirs [S].
Segments = tuple[float, float]
#: Conductances between nodes, both ways.
Network = dict[int, dict[int, Tensor]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes of a block.

    Cells are numbered row by row: word-line nodes first, then bit-line nodes, then the ends of the
    wires on the left and at the bottom.

    Attributes:
        order: Inner nodes in the order they are eliminated, those with few neighbours first.
        sides: Ports on the left, on the right, at the top, at the bottom.
    """

    order: tuple[int, ...]
    sides: tuple[tuple[int, ...], ...]


def leaves(
    g: Tensor,
    size: tuple[int, int],
    word_line: Segments,
    bit_line: Segments,
    *,
    downwards: bool = False,
) -> Blocks:
    """Return arrays as blocks of a few cells.

    Args:
        g: Conductances, ``(arrays, rows, columns)`` [S]; whole blocks.
        size: Rows and columns of a block.
        word_line: Segments of a word line.
        bit_line: Segments of a bit line.
        downwards: Whether they are joined downwards first, not to the right.
    """
    (height, width), (arrays, rows, columns) = size, g.shape
    shape = (arrays, rows // height, columns // width)
    cells = g.reshape(arrays, shape[1], height, shape[2], width).permute(2, 4, 0, 1, 3)
    first = g.new_full((shape[2],), word_line[0])
    first[0] = word_line[1]
    last = g.new_full((shape[1], 1), bit_line[0])
    last[-1] = bit_line[1]
    network: Network = {}
    for pair, kind in _edges(height, width).items():
        if isinstance(kind, tuple):
            value = cells[kind].contiguous()
        else:
            ends = {"left": first, "bottom": last}
            inner = word_line[0] if kind == "word" else bit_line[0]
            value = ends.get(kind, g.new_full((), inner)).expand(shape)
        _add(network, pair, value)
    plan = _plan(height, width)
    for node in plan.order:
        _eliminate(network, node)
    left, right, top, bottom = plan.sides
    if downwards:
        y = _assembled(network, (*top, *left, *right, *bottom), g, shape).transpose(1, 2)
        return Blocks(y.contiguous(), width, height)
    return Blocks(_assembled(network, (*left, *top, *bottom, *right), g, shape), height, width)


def _edges(height: int, width: int) -> dict[tuple[int, int], str | tuple[int, int]]:
    """Return which nodes of a block are joined: by a cell (its place) or by a segment."""
    cells = height * width
    edges: dict[tuple[int, int], str | tuple[int, int]] = {}
    for row in range(height):
        for column in range(width):
            word = row * width + column
            bit = cells + word
            edges[word, bit] = (row, column)
            if column:
                edges[word - 1, word] = "word"
            else:
                edges[2 * cells + row, word] = "left"
            if row < height - 1:
                edges[bit, bit + width] = "bit"
            else:
                edges[bit, 2 * cells + height + column] = "bottom"
    return edges


@cache
def _plan(height: int, width: int) -> Plan:
    cells = height * width
    left = tuple(range(2 * cells, 2 * cells + height))
    bottom = tuple(range(2 * cells + height, 2 * cells + height + width))
    right = tuple(row * width + width - 1 for row in range(height))
    top = tuple(range(cells, cells + width))
    inner = set(range(2 * cells)) - set(right) - set(top)
    near: dict[int, set[int]] = {}
    for a, b in _edges(height, width):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    order = []
    while inner:
        node = min(inner, key=lambda n: (len(near[n]), n))
        inner.remove(node)
        order.append(node)
        around = near.pop(node)
        for other in around:
            near[other] |= around - {other}
            near[other].remove(node)
    return Plan(tuple(order), (left, right, top, bottom))


def _add(network: Network, pair: tuple[int, int], value: Tensor) -> None:
    a, b = pair
    known = network.setdefault(a, {}).get(b)
    value = value if known is None else known + value
    network[a][b] = value
    network.setdefault(b, {})[a] = value


def _eliminate(network: Network, node: int) -> None:
    around = network.pop(node)
    for other in around:
        del network[other][node]
    share = 1.0 / torch.stack(list(around.values())).sum(0)
    for (a, first), (b, second) in combinations(around.items(), 2):
        _add(network, (a, b), first * share * second)


def _assembled(
    network: Network, ports: tuple[int, ...], g: Tensor, shape: tuple[int, ...]
) -> Tensor:
    zero = g.new_zeros(()).expand(shape)
    rows = [torch.stack([network[a].get(b, zero) for b in ports], -1) for a in ports]
    return balanced(-torch.stack(rows, -2))
