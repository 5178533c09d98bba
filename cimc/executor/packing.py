"""Groups that share an array: read in one go, with the idle cells between them.

The tiles of a grouped convolution are packed block-diagonally: they share neither word lines nor
bit lines, so all groups of a block are driven together.  Off the diagonal stand idle cells, on
word lines that are driven and bit lines that are read.  Both cells of an idle pair stand at G_min
and cancel, until noise, faults or wires make them differ.  Then a block is one matrix of all its
word lines and bit lines, and the layer a convolution with as many groups as there are blocks.

That holds where idle cells cancel before they are converted: pairs subtracted before the
converter, and offset columns.  Elsewhere, where a program made for a chip says so
(:mod:`cimc.executor.one_by_one`), and for stacks of matrices and the directions of recurrent
layers, which are read at different times anyway, groups are driven one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from cimc.executor.cells import targets_us
from cimc.executor.measured import Measured
from cimc.executor.physics import Physics
from cimc.ir.layer import TILE_FIELDS, Cells
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramLayer, ProgramUse
from cimc.program.positions import map_offsets
from cimc.targets.lanes import lane_count

#: A map of word lines or bit lines.
Lines = npt.NDArray[np.int32] | None

_FIELD = {name: index for index, name in enumerate(TILE_FIELDS)}
#: What happens around arrays: idle cells are none the worse for it.
_OUTSIDE = frozenset({"dac", "adc", "adc-offset", "adc-gain", "adc-noise", "nonlinearity"})


@dataclass(frozen=True, slots=True)
class Packed:
    """A program whose packed layers have a matrix a block.

    Attributes:
        program: The program.
        layers: What was packed, by layer name.
    """

    program: DeviceProgram
    layers: Mapping[str, Packing]

    def measured(self, cells: Measured, physics: Physics) -> Measured:
        """Return measured conductances of the program's layers, idle cells at G_min [uS]."""
        idle_us = physics.target.cell.g_min_us
        return {
            name: tuple(self.layers[name].spread(plane, idle_us) for plane in planes)
            if name in self.layers
            else planes
            for name, planes in cells.items()
        }

    def operations(self, known: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
        """Return what runs operations instead of their operators, incomplete blocks completed.

        Args:
            known: The same where every block is complete, by name.
        """
        wrapped = dict(known)
        for operation in self.program.operations:
            packing = self._incomplete(operation)
            if packing is not None:
                function = OPERATORS[operation.op].function
                inner = known.get(operation.name, partial(function, **operation.attributes))
                wrapped[operation.name] = packing.completed(inner)
        return wrapped

    def _incomplete(self, operation: Operation) -> Packing | None:
        for reference in operation.inputs:
            packing = self.layers.get((reference or "").removeprefix("#"))
            if packing is not None and packing.missing:
                return packing
        return None


@dataclass(frozen=True, slots=True)
class Packing:
    """How the groups of a layer share arrays.

    Attributes:
        groups: Of the layer [-].
        size: Groups of a block [-].
        taps: Rows of an input channel, and columns of an output channel [-].
        rows: Of a group [-].
        columns: Of a group [-].
    """

    groups: int
    size: int
    taps: tuple[int, int]
    rows: int
    columns: int

    @property
    def blocks(self) -> int:
        """Blocks, the last of which may be incomplete [-]."""
        return -(-self.groups // self.size)

    @property
    def missing(self) -> int:
        """Groups missing in the last block [-]."""
        return self.blocks * self.size - self.groups

    def spread(self, plane: Tensor, idle_us: float) -> Tensor:
        """Return a plane ``(groups, rows, columns)`` as one matrix a block, the rest idle [uS]."""
        groups, rows, columns = plane.shape
        shape = (self.blocks * self.size, rows, self.size, columns)
        out = plane.new_full(shape, idle_us)
        number = torch.arange(groups, device=plane.device)
        out[number, :, number % self.size] = plane
        return out.reshape(self.blocks, self.size * rows, self.size * columns)

    def per_column(self, values: Tensor, fill: float) -> Tensor:
        """Return numbers of columns, along the last axis, with those of missing groups."""
        if values.shape[-1] == 1 or not self.missing:
            return values
        return pad(values, (0, self.missing * self.columns), value=fill)

    def completed(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Return an operation that takes and gives the channels there are."""
        given = self.missing * self.rows // self.taps[0]
        made = self.missing * self.columns // self.taps[1]

        def run(x: Tensor, weight: Any, bias: Tensor | None = None) -> Tensor:
            x = pad(x, (*[0, 0] * (x.ndim - 2), 0, given))
            y: Tensor = inner(x, weight, None if bias is None else pad(bias, (0, made)))
            return y[:, : y.shape[1] - made]

        return run


def packed(program: DeviceProgram, physics: Physics) -> Packed:
    """Return a program with the idle cells of its packed layers, where they matter."""
    cancel = lane_count(physics.target) == 1 and physics.target.encoding != "bit-sliced"
    matter = bool(physics.effects - _OUTSIDE) or program.faults is not None
    if not (cancel and matter):
        return Packed(program, {})
    found = {name: _packing(layer) for name, layer in program.layers.items()}
    known = {name: packing for name, packing in found.items() if packing is not None}
    if not known:
        return Packed(program, {})
    idle_us = physics.target.cell.g_min_us
    layers = {
        name: _block_layer(layer, known[name], idle_us) if name in known else layer
        for name, layer in program.layers.items()
    }
    operations = tuple(_in_blocks(operation, known) for operation in program.operations)
    return Packed(replace(program, layers=layers, operations=operations), known)


def _packing(layer: ProgramLayer) -> Packing | None:
    """Return how a layer is packed: equal groups, block after block; None if it is not."""
    geometry = layer.geometry
    if geometry.kind not in ("conv", "conv-transpose") or geometry.groups == 1:
        return None
    if layer.one_by_one:
        return None
    tiles = layer.tiles[_order(layer)]
    if len(tiles) != geometry.groups or layer.encoding == "signed":
        return None
    steps = np.diff(tiles[:, [_FIELD[f] for f in ("array", "array_row", "array_column")]], axis=0)
    next_to = (steps == (0, geometry.rows, _width(layer))).all(1)
    apart = np.flatnonzero(~next_to)
    size = int(apart[0]) + 1 if len(apart) else geometry.groups
    inside = (np.arange(1, geometry.groups) % size) != 0
    if size == 1 or not next_to[inside].all():
        return None
    taps = (geometry.taps, 1) if geometry.kind == "conv" else (1, geometry.taps)
    packing = Packing(geometry.groups, size, taps, geometry.rows, geometry.columns)
    return packing if _lie_apart(layer, packing) else None


def _lie_apart(layer: ProgramLayer, packing: Packing) -> bool:
    """Whether the groups of a block share no line, where maps have them: then one read does."""
    for lines in (_by_group(layer, layer.word_lines, 0), _by_group(layer, layer.bit_lines, 1)):
        for block in range(packing.blocks if lines else 0):
            some = np.concatenate(lines[block * packing.size : (block + 1) * packing.size])
            if len(np.unique(some)) < len(some):
                return False
    return True


def _by_group(layer: ProgramLayer, lines: Lines, which: int) -> list[npt.NDArray[np.int32]]:
    """Return the lines of each group's tile, of a map of word lines (0) or bit lines (1)."""
    if lines is None:
        return []
    parts = np.split(lines, map_offsets(layer)[which][1:-1])
    return [parts[k] for k in _order(layer)]


def _order(layer: ProgramLayer) -> npt.NDArray[np.int64]:
    """Return the tiles in the order of their groups."""
    return np.argsort(layer.tiles[:, _FIELD["group"]], kind="stable")


def _width(layer: ProgramLayer) -> int:
    """Return the bit lines of a group."""
    columns = layer.geometry.columns
    if layer.encoding == "offset-column":
        return columns + 1
    return columns if layer.twin else columns * len(layer.cells.planes)


def _block_layer(layer: ProgramLayer, packing: Packing, idle_us: float) -> ProgramLayer:
    """Return a packed layer with a matrix a block."""
    rows, columns = layer.geometry.rows, layer.geometry.columns
    size, blocks = packing.size, packing.blocks
    geometry = replace(layer.geometry, groups=blocks, rows=size * rows, columns=size * columns)
    planes = targets_us(layer.cells, torch.device("cpu"))
    gain = packing.per_column(layer.cells.gain, 0.0)
    cells = Cells(tuple(packing.spread(plane, idle_us) for plane in planes), None, gain)
    return replace(
        layer,
        geometry=geometry,
        cells=cells,
        tiles=_block_tiles(layer, packing),
        word_lines=_block_word_lines(layer, packing),
        bit_lines=None
        if layer.bit_lines is None
        else np.concatenate(_by_group(layer, layer.bit_lines, 1)),
        row_tiles=np.array([[0, size * rows]], dtype=np.int32),
        uses=tuple(_block_use(use, packing) for use in layer.uses),
    )


def _block_tiles(layer: ProgramLayer, packing: Packing) -> Any:
    """Return a tile for the bit lines of each group, on all word lines of its block."""
    tiles = layer.tiles[_order(layer)]
    group = np.arange(packing.groups)
    block, inside = np.divmod(group, packing.size)
    members = np.minimum(packing.size, packing.groups - block * packing.size)
    tiles[:, _FIELD["array_row"]] = tiles[block * packing.size, _FIELD["array_row"]]
    tiles[:, _FIELD["group"]] = block
    tiles[:, _FIELD["rows"]] = members * packing.rows
    tiles[:, _FIELD["column"]] = inside * packing.columns
    return tiles


def _block_word_lines(layer: ProgramLayer, packing: Packing) -> Lines:
    """Return the word lines of the tiles of :func:`_block_tiles`: those of all of the block."""
    lines = _by_group(layer, layer.word_lines, 0)
    if not lines:
        return None
    parts: list[npt.NDArray[np.int32]] = []
    for first in range(0, packing.groups, packing.size):
        block = lines[first : first + packing.size]
        parts += [np.concatenate(block)] * len(block)
    return np.concatenate(parts)


def _block_use(use: ProgramUse, packing: Packing) -> ProgramUse:
    if use.adc.i_max_us is None:
        return use
    return replace(use, adc=replace(use.adc, i_max_us=packing.per_column(use.adc.i_max_us, 1.0)))


def _in_blocks(operation: Operation, packings: Mapping[str, Packing]) -> Operation:
    """Return an operation with as many groups as the layer it reads has blocks."""
    read = (packings.get((r or "").removeprefix("#")) for r in operation.inputs)
    packing = next((p for p in read if p is not None), None)
    if packing is None:
        return operation
    return replace(operation, attributes={**operation.attributes, "group": packing.blocks})
