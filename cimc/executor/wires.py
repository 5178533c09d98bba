"""Wires of the arrays of one chip: what bit lines see of cells behind resistive wires.

An array is solved as it is read: with the word lines of one tile driven, all of its bit lines at
their amplifiers.  The cells of other layers on those word lines load them; idle cells stand at
G_min.  On the other word lines the access transistors are off: they carry nothing, and their
stretch of the bit lines is only longer wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cimc.device.ir_drop import Wires, transfer_us
from cimc.executor.physics import Physics
from cimc.program.model import DeviceProgram
from cimc.program.positions import Block, Lines, blocks, planes_of
from cimc.targets import Target

Planes = tuple[Tensor, ...]


class Driven(NamedTuple):
    """What is driven of an array, at once.

    Attributes:
        array: Number of the array.
        first: First driven word line.
        last: The one after the last.
        lines: The driven ones, ascending int64 as bytes; empty: all of these.
    """

    array: int
    first: int
    last: int
    lines: bytes = b""


#: What bit lines see with some word lines driven, float32 ``(driven, columns)`` [uS].
Solved = dict[Driven, Tensor]
#: Layer, plane, and a block of it.
Placed = tuple[str, int, Block]

#: Non-idealities that give every chip cells of its own.
_RANDOM_CELLS = frozenset({
    "programming", "device-to-device", "correlated", "relaxation", "drift", "stuck", "lines",
    "telegraph",
})  # fmt: skip
#: Cells of the arrays that are solved at once: 16 arrays of 64 x 64, or one of 256 x 256.
_AT_ONCE = 1 << 16


def same_cells(physics: Physics) -> bool:
    """Whether the conductances of all chips are the same."""
    return not physics.effects & _RANDOM_CELLS


def through_wires(variances: Planes | None, cells: Planes, seen: Planes) -> Planes | None:
    """Return how what cells contribute fluctuates, from how their conductances do [uS^2].

    A cell whose contribution the wires make smaller fluctuates less, in proportion.

    Args:
        variances: Of the conductances of each plane [uS^2]; None: nothing fluctuates.
        cells: Conductances [uS].
        seen: What they contribute [uS].
    """
    if variances is None or cells is seen:
        return variances
    # The inner ``where`` keeps 0 / 0 out of derivatives.
    ratios = (
        torch.where(g > 0, t / torch.where(g > 0, g, 1.0), 0.0)
        for g, t in zip(cells, seen, strict=True)
    )
    return tuple(v * r.square() for v, r in zip(variances, ratios, strict=True))


def wires_of(target: Target) -> Wires:
    """Return the resistances of a target's arrays."""
    wires = target.wires
    return Wires(wires.word_line_ohm, wires.bit_line_ohm, wires.driver_ohm, wires.sense_ohm)


@dataclass(slots=True)
class WiredArrays:
    """The arrays of one chip behind their wires.

    Layers may be asked for in any order, each once; what no layer needs any more is forgotten.

    Attributes:
        program: What is on the arrays.
        target: The device.
        cells: Returns the conductances of the planes of a layer [uS].
        kept: Solutions that all chips share; None: chips differ.
        idle: Returns the conductances of an array that holds no weights, new,
            ``(rows, columns)`` [uS]; None: all at G_min.
    """

    program: DeviceProgram
    target: Target
    cells: Callable[[str], Planes]
    kept: Solved | None = None
    idle: Callable[[int], Tensor] | None = None
    _planes: dict[str, Planes] = field(default_factory=dict)
    _arrays: dict[int, Tensor] = field(default_factory=dict)
    _solved: Solved = field(default_factory=dict)
    _of_layer: dict[str, list[Placed]] = field(default_factory=dict)
    _on_array: dict[int, list[Placed]] = field(default_factory=dict)
    _places: dict[str, frozenset[int]] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, layer in self.program.layers.items():
            planes = range(planes_of(layer))
            placed = [(name, plane, block) for plane in planes for block in blocks(layer, plane)]
            self._of_layer[name] = placed
            self._places[name] = frozenset(block.array for _, _, block in placed)
            for one in placed:
                self._on_array.setdefault(one[2].array, []).append(one)
        self._waiting = set(self._places)

    def planes(self, name: str) -> Planes:
        """Return the conductances of a layer's planes, wires left out [uS]."""
        if name not in self._planes:
            self._planes[name] = self.cells(name)
        return self._planes[name]

    def effective(self, name: str) -> Planes:
        """Return what each plane of a layer contributes to the currents, float32 [uS].

        The element at row i and column j of a group is the current into the bit line of column j
        per volt on the word line of row i.
        """
        placed = self._of_layer[name]
        known = self._solved if self.kept is None else self.kept
        self._solve([_driven(block) for _, _, block in placed], known)
        seen = tuple(torch.zeros_like(plane) for plane in self.planes(name))
        for _, plane, block in placed:
            driven = _driven(block)
            seen[plane][block.cells] = known[driven][_rows(block, driven), block.bit_lines]
        self._forget(name)
        return seen

    def _solve(self, wanted: Sequence[Driven], known: Solved) -> None:
        """Solve arrays as they are driven, those that differ only in their cells together."""
        alike: dict[tuple[int, int], list[Driven]] = {}
        for driven in dict.fromkeys(wanted):
            if driven not in known:
                alike.setdefault(driven[1:3], []).append(driven)
        for (first, last), group in alike.items():
            rows, columns = self._array(group[0].array).shape
            wires = wires_of(self.target).below(rows - last)
            at_once = max(1, _AT_ONCE // ((last - first) * columns))
            for start in range(0, len(group), at_once):
                some = group[start : start + at_once]
                cells = torch.stack([self._driven_cells(driven) for driven in some])
                seen = transfer_us(cells, wires).to(torch.float32)
                known.update(zip(some, seen, strict=True))

    def _driven_cells(self, driven: Driven) -> Tensor:
        """Return the conductances between the first and the last driven word line [uS].

        On lines between that are not driven nothing conducts: only the bit lines run on.
        """
        cells = self._array(driven.array)[driven.first : driven.last]
        if not driven.lines:
            return cells
        lines = torch.from_numpy(np.frombuffer(driven.lines, np.int64) - driven.first)
        lines = lines.to(cells.device)
        return torch.zeros_like(cells).index_copy(0, lines, cells[lines])

    def _array(self, array: int) -> Tensor:
        """Return the conductances of all cells of an array, ``(rows, columns)`` [uS]."""
        if array not in self._arrays:
            self._arrays[array] = self._filled(array)
        return self._arrays[array]

    def _filled(self, array: int) -> Tensor:
        shape = self.target.array.rows, self.target.array.columns
        assert None not in shape, "arrays with wires end somewhere"
        on_it = self._on_array[array]
        device = self.planes(on_it[0][0])[0].device
        if self.idle is None:
            out = torch.full(shape, self.target.cell.g_min_us, device=device)  # type: ignore[arg-type]
        else:
            out = self.idle(array)
        for name, plane, block in on_it:
            out[block.place] = self.planes(name)[plane][block.cells]
        return out

    def _forget(self, name: str) -> None:
        """Note that a layer is done, and drop what was held for it alone."""
        self._waiting.discard(name)
        wanted = frozenset().union(*(self._places[n] for n in self._waiting))
        self._arrays = {a: g for a, g in self._arrays.items() if a in wanted}
        self._solved = {d: t for d, t in self._solved.items() if d.array in wanted}
        open_arrays = wanted - self._arrays.keys()
        self._planes = {
            n: planes
            for n, planes in self._planes.items()
            if n in self._waiting or self._places[n] & open_arrays
        }


def _driven(block: Block) -> Driven:
    """Return what is driven when a block is read."""
    lines = block.word_lines
    if isinstance(lines, slice):
        return Driven(block.array, lines.start, lines.stop)
    first, last = int(lines.min()), int(lines.max()) + 1
    apart = b"" if last - first == len(lines) else np.sort(lines).tobytes()
    return Driven(block.array, first, last, apart)


def _rows(block: Block, driven: Driven) -> Lines:
    """Return which of the driven word lines are those of the rows of a block."""
    lines = block.word_lines
    if isinstance(lines, slice):
        return slice(None)
    index = lines - driven.first
    return index if isinstance(block.bit_lines, slice) else index[:, None]
