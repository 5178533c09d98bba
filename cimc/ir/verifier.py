"""What must hold of a network at each stage.

One function a rule; its docstring is the message a user sees.  A rule yields the places where it
is broken.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.layer import CrossbarLayer
from cimc.ir.network import Network, Stage

#: Weights decoded in one go [-].
_AT_ONCE = 1 << 15
Rule = Callable[[Network], Iterator[str]]


def _calls(network: Network) -> Iterator[Node]:
    return (n for n in network.graph.graph.nodes if n.op == "call_function")


@cache
def _attributes(function: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def only_operators_of_the_table_are_called(network: Network) -> Iterator[str]:
    """A node calls an operator of the table, or picks one of several results."""
    for node in network.graph.graph.nodes:
        if node.op not in ("placeholder", "get_attr", "call_function", "output"):
            yield f"{node.name} ({node.op})"
    for node in _calls(network):
        if node.target is not operator.getitem and not rewrite.operator_name(node):
            yield f"{node.name} ({node.target})"


def attributes_belong_to_the_operator(network: Network) -> Iterator[str]:
    """Attributes are keyword arguments of the operator and literal values."""
    for node in _calls(network):
        if isinstance(node.target, str) or not rewrite.operator_name(node):
            continue
        known = _attributes(node.target)
        yield from (f"{node.name}.{k}" for k in node.kwargs if k not in known)
        yield from (f"{node.name}.{k}" for k, v in node.kwargs.items() if not _literal(v))


def operands_fit_the_operator(network: Network) -> Iterator[str]:
    """An operator gets as many operands as it takes, and the attributes it cannot do without."""
    for node in _calls(network):
        if isinstance(node.target, str) or not rewrite.operator_name(node):
            continue
        try:
            inspect.signature(node.target).bind(*node.args, **node.kwargs)
        except TypeError as error:
            yield f"{node.name}: {error}"


def constants_are_in_the_graph_module(network: Network) -> Iterator[str]:
    """Every constant read is a tensor of the graph module."""
    tensors = rewrite.attributes(network.graph)
    for node in network.graph.graph.nodes:
        if node.op == "get_attr" and node.target not in tensors:
            yield f"{node.name} ({node.target})"


def names_are_unique(network: Network) -> Iterator[str]:
    """No two inputs, no two outputs and no two nodes share a name."""
    nodes = [node.name for node in network.graph.graph.nodes]
    for names in (
        nodes,
        [signal.name for signal in network.inputs],
        [signal.name for signal in network.outputs],
    ):
        yield from sorted(name for name, count in Counter(names).items() if count > 1)


def _literal(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_literal, value))
    return value is None or isinstance(value, bool | int | float | str)


def operands_are_values(network: Network) -> Iterator[str]:
    """Operands are values of the graph, or left out."""
    for node in _calls(network):
        operands = node.args[:1] if node.target is operator.getitem else node.args
        yield from (node.name for a in operands if not (a is None or isinstance(a, Node)))


def signals_match_the_graph(network: Network) -> Iterator[str]:
    """Every placeholder is an input, every result an output, in order."""
    placeholders = [n for n in network.graph.graph.nodes if n.op == "placeholder"]
    if len(placeholders) != len(network.inputs):
        yield f"{len(placeholders)} placeholders, {len(network.inputs)} inputs"
    results = [n for n in network.graph.graph.nodes if n.op == "output"]
    if len(results) != 1 or len(results[0].args[0]) != len(network.outputs):
        yield f"results of the graph, {len(network.outputs)} outputs"


def layers_are_read_where_they_say(network: Network) -> Iterator[str]:
    """Every use of a layer is a node whose operand is the layer's weight."""
    nodes = {n.name: n for n in network.graph.graph.nodes}
    for layer in network.layers.values():
        for use in layer.uses:
            node = nodes.get(use.node)
            operands = () if node is None else node.args
            operand = operands[use.operand] if use.operand < len(operands) else None
            if not rewrite.is_constant(operand) or operand.target != layer.weight:
                yield f"{layer.name}: {use.node}.{use.operand}"


def weights_have_the_size_of_their_geometry(network: Network) -> Iterator[str]:
    """A layer's weight has as many elements as its matrices."""
    tensors = rewrite.attributes(network.graph)
    for name, layer in network.layers.items():
        g, r, c = layer.geometry.shape
        if tensors[layer.weight].numel() != g * r * c:
            yield name


def codes_name_levels(network: Network) -> Iterator[str]:
    """A codebook's levels are finite and ascending, and every code names one."""
    for name, layer in network.layers.items():
        book = layer.codebook
        if book is None:
            continue
        levels = book.levels
        if not bool(torch.isfinite(levels).all()) or bool((levels.diff(dim=-1) < 0).any()):
            yield f"{name}: levels"
        if tuple(book.codes.shape) != layer.geometry.shape:
            yield f"{name}: shape of the codes"
        elif book.codes.numel() and int(book.codes.max()) >= levels.shape[-1]:
            yield f"{name}: codes"


def sliced_levels_are_sums(network: Network) -> Iterator[str]:
    """Where a codebook has multipliers, its levels are their sums, and none is negative."""
    for name, layer in network.layers.items():
        book = layer.codebook
        if book is None or book.multipliers is None:
            continue
        r, c = book.multipliers, book.offset
        if c is None or r.shape[:-1] != book.levels.shape[:-1] or bool((r < 0).any()):
            yield f"{name}: multipliers"
            continue
        n = r.shape[-1]
        bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
        sums = r.double() @ bits.double().T + c.double().reshape(r.shape[:-1])[..., None]
        if not torch.equal(sums.sort(-1).values.float(), book.levels):
            yield f"{name}: levels"


def the_graph_holds_the_quantized_weights(network: Network) -> Iterator[str]:
    """The graph computes with the levels the codes name, unless it is of one chip's cells."""
    tensors = rewrite.attributes(network.graph)
    for name, layer in network.layers.items():
        book, shape = layer.codebook, layer.geometry.shape
        weight = tensors[layer.weight]
        if book is None or tuple(book.codes.shape) != shape or weight.numel() != math.prod(shape):
            continue
        if layer.remapped:
            continue
        matrix = layer.geometry.to_matrix(weight)
        # Evenly spread rows: what goes wrong goes wrong for a whole layer, and this is run often.
        step = max(1, math.prod(shape) // _AT_ONCE)
        if not torch.equal(matrix[:, ::step], _decode(book.levels, book.codes[:, ::step])):
            yield name


def _decode(levels: Tensor, codes: Tensor) -> Tensor:
    """Return the levels of codes ``(groups, rows, columns)``; codes out of range take the last."""
    index = codes.to(torch.int64).clamp(max=levels.shape[-1] - 1)
    if levels.ndim == 1:
        return levels[index]
    groups, rows, columns = codes.shape
    table = levels.reshape(groups, 1, columns, -1).expand(-1, rows, -1, -1)
    return table.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def tiles_cover_each_matrix_once(network: Network) -> Iterator[str]:
    """The tiles of a layer cover its matrices, without overlap."""
    for name, layer in network.layers.items():
        if layer.tiles is None or layer.row_tiles is None:
            yield f"{name}: no tiles"
        elif not _covers(layer, layer.tiles.astype(np.int64)):
            yield name


def _covers(layer: CrossbarLayer, table: Any) -> bool:
    """Tell whether rectangles tile the matrices: disjoint inside a grid, and of the right area."""
    g, r, c = layer.geometry.shape
    group, row, rows, column, columns = (table[:, k] for k in (0, 2, 3, 4, 5))
    inside = (group >= 0) & (group < g) & (row >= 0) & (rows > 0) & (row + rows <= r)
    inside &= (column >= 0) & (columns > 0) & (column + columns <= c)
    if not inside.all() or int((rows * columns).sum()) != g * r * c:
        return False
    return not _overlap(group, row, rows, column, columns)


def _overlap(plane: Any, row: Any, rows: Any, column: Any, columns: Any) -> bool:
    """Tell whether any two rectangles of one plane share an element; a sweep over the rows."""
    order = np.lexsort((column, row, plane))
    active: list[tuple[int, int, int]] = []
    current = -1
    for i in order:
        if plane[i] != current:
            active, current = [], int(plane[i])
        top, left, right = int(row[i]), int(column[i]), int(column[i] + columns[i])
        active = [a for a in active if a[0] > top]
        if any(left < a[2] and a[1] < right for a in active):
            return True
        active.append((top + int(rows[i]), left, right))
    return False


def tiles_lie_apart_on_arrays(network: Network) -> Iterator[str]:
    """Every tile has a place, and no two tiles share a cell."""
    tables = []
    for name, layer in network.layers.items():
        assert layer.tiles is not None
        table = layer.tiles.astype(np.int64)
        if (table[:, 6:] < 0).any():
            yield f"{name}: a tile without a place"
        if layer.layout is not None:  # bit lines, once they are known, instead of weight columns
            table[:, 5] = layer.layout.width(table[:, 5])
            twins = np.arange(layer.layout.arrays)
            table = np.repeat(table, len(twins), axis=0)
            table[:, 6] += np.tile(twins, len(table) // len(twins))
        tables.append(table)
    if tables:
        t = np.concatenate(tables)
        if _overlap(t[:, 6], t[:, 7], t[:, 3], t[:, 8], t[:, 5]):
            yield "two tiles overlap"


def layers_have_cells(network: Network) -> Iterator[str]:
    """Every layer has cells of the shape of its matrices, and a finite gain."""
    for name, layer in network.layers.items():
        cells = layer.cells
        if cells is None or layer.encoding is None:
            yield f"{name}: no cells"
        elif tuple(cells.planes[0].shape) != layer.geometry.shape:
            yield f"{name}: shape of the cells"
        elif not bool(torch.isfinite(cells.gain).all()):
            yield f"{name}: gain"


RULES: dict[Stage, tuple[Rule, ...]] = {
    Stage.IMPORTED: (
        only_operators_of_the_table_are_called,
        attributes_belong_to_the_operator,
        operands_are_values,
        operands_fit_the_operator,
        constants_are_in_the_graph_module,
        names_are_unique,
        signals_match_the_graph,
    ),
    Stage.PARTITIONED: (layers_are_read_where_they_say, weights_have_the_size_of_their_geometry),
    Stage.QUANTIZED: (
        codes_name_levels,
        sliced_levels_are_sums,
        the_graph_holds_the_quantized_weights,
    ),
    Stage.TILED: (tiles_cover_each_matrix_once,),
    Stage.PLACED: (tiles_lie_apart_on_arrays,),
    Stage.ASSIGNED: (layers_have_cells, tiles_lie_apart_on_arrays),
}


def verify(network: Network) -> list[str]:
    """Return what is wrong with the network, one line each; empty when valid."""
    return [
        f"{where}: {rule.__doc__} ({rule.__name__})"
        for stage, rules in RULES.items()
        if stage <= network.stage
        for rule in rules
        for where in rule(network)
    ]
