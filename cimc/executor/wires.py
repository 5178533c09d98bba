"""Wires of the arrays of one chip: what bit lines see of cells behind resistive wires.

An array is solved as it is read: with the word lines of one tile driven, all of its bit lines at
their amplifiers.  The cells of other layers on those word lines load them; idle cells stand at
G_min.  On the other word lines the access transistors are off: they carry nothing, and their
stretch of the bit lines is only longer wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cimc.device.ir_drop import Wires, transfer_us
from cimc.executor.physics import Physics
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.program.positions import blocks, planes_of
from cimc.targets import Target

Planes = tuple[Tensor, ...]
#: Array, first driven word line, and the one after the last.
Driven = tuple[int, int, int]
#: What bit lines see with some word lines driven, float32 ``(driven, columns)`` [uS].
Solved = dict[Driven, Tensor]

#: Non-idealities that give every chip cells of its own.
_RANDOM_CELLS = frozenset({
    "programming", "device-to-device", "correlated", "relaxation", "drift", "stuck", "lines",
    "telegraph",
})  # fmt: skip


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
    ratios = (torch.where(g > 0, t / g, 0.0) for g, t in zip(cells, seen, strict=True))
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
    _places: dict[str, frozenset[int]] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._places = {n: _arrays_of(layer) for n, layer in self.program.layers.items()}
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
        layer = self.program.layers[name]
        planes = self.planes(name)
        seen = tuple(torch.empty_like(plane) for plane in planes)
        for number, plane in enumerate(seen):
            for block in blocks(layer, number):
                lines = block.word_lines
                through = self._through((block.array, lines.start, lines.stop))
                plane[block.cells] = through[:, block.bit_lines]
        self._forget(name)
        return seen

    def _through(self, driven: Driven) -> Tensor:
        """Return what all bit lines of an array see of the driven word lines."""
        known = self._solved if self.kept is None else self.kept
        if driven not in known:
            array, first, last = driven
            g_us = self._array(array)
            wires = wires_of(self.target).below(len(g_us) - last)
            known[driven] = transfer_us(g_us[first:last], wires).to(torch.float32)
        return known[driven]

    def _array(self, array: int) -> Tensor:
        """Return the conductances of all cells of an array, ``(rows, columns)`` [uS]."""
        if array not in self._arrays:
            self._arrays[array] = self._filled(array)
        return self._arrays[array]

    def _filled(self, array: int) -> Tensor:
        shape = self.target.array.rows, self.target.array.columns
        assert None not in shape, "arrays with wires end somewhere"
        on_it = [name for name, arrays in self._places.items() if array in arrays]
        device = self.planes(on_it[0])[0].device
        if self.idle is None:
            out = torch.full(shape, self.target.cell.g_min_us, device=device)  # type: ignore[arg-type]
        else:
            out = self.idle(array)
        for name in on_it:
            layer, planes = self.program.layers[name], self.planes(name)
            for number in range(planes_of(layer)):
                for block in blocks(layer, number):
                    if block.array == array:
                        out[block.word_lines, block.bit_lines] = planes[number][block.cells]
        return out

    def _forget(self, name: str) -> None:
        """Note that a layer is done, and drop what was held for it alone."""
        self._waiting.discard(name)
        wanted = frozenset().union(*(self._places[n] for n in self._waiting))
        self._arrays = {a: g for a, g in self._arrays.items() if a in wanted}
        self._solved = {d: t for d, t in self._solved.items() if d[0] in wanted}
        open_arrays = wanted - self._arrays.keys()
        self._planes = {
            n: planes
            for n, planes in self._planes.items()
            if n in self._waiting or self._places[n] & open_arrays
        }


def _arrays_of(layer: ProgramLayer) -> frozenset[int]:
    """Return the numbers of the arrays a layer has cells on."""
    planes = range(planes_of(layer))
    return frozenset(block.array for plane in planes for block in blocks(layer, plane))
