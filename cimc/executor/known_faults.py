"""What is known of the cells of one chip, from its fault map: physical places to logical cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.executor.cells import CellGains, StuckCells
from cimc.program.model import DeviceProgram, FaultRecord, ProgramLayer
from cimc.program.positions import blocks, planes_of
from cimc.targets import Target

#: Gains that are kept from chip to chip, at most [byte]; beyond, they are looked up anew.
_KEPT = 1 << 30

Numbers = npt.NDArray[np.int64]
Conductances = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KnownCells:
    """What a fault map says of the cells of a program.

    Attributes:
        stuck: Stuck cells that hold weights, by layer name and plane.
        places: All stuck cells by place; None: there are none.
        gains: Record with measured end states; None: it has none.
        kept: Gains worked out before, by layer name, up to a size.
    """

    stuck: Mapping[str, Mapping[int, StuckCells]] = field(default_factory=dict)
    places: StuckPlaces | None = None
    gains: FaultRecord | None = None
    kept: dict[str, dict[int, CellGains]] = field(default_factory=dict)

    def gains_of(self, layer: ProgramLayer) -> dict[int, CellGains]:
        """Return the gains of the cells of a layer by plane; none on arrays without."""
        if self.gains is None:
            return {}
        if layer.name in self.kept:
            return self.kept[layer.name]
        each = {plane: _gains(layer, plane, self.gains) for plane in range(planes_of(layer))}
        found = {plane: gains for plane, gains in each.items() if gains is not None}
        held = sum(gains.bytes for planes in self.kept.values() for gains in planes.values())
        if held + sum(gains.bytes for gains in found.values()) <= _KEPT:
            self.kept[layer.name] = found
        return found

    def gains_on(self, array: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the factors of HRS and LRS of all cells of an array; None: not measured."""
        record = self.gains
        if record is None or record.gain_arrays is None or array not in record.gain_arrays:
            return None, None
        number = int(np.searchsorted(record.gain_arrays, array))
        both = (record.gain_hrs, record.gain_lrs)
        hrs, lrs = (None if gain is None else torch.from_numpy(gain[number]) for gain in both)
        return hrs, lrs

    def stuck_on(self, array: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return word lines, bit lines and conductances [uS] of the stuck cells of an array."""
        if self.places is None:
            nowhere = torch.empty(0, dtype=torch.int64)
            return nowhere, nowhere, torch.empty(0)
        row, column, g_us = map(torch.from_numpy, self.places.on(array))
        return row, column, g_us


def known_cells(program: DeviceProgram) -> KnownCells:
    """Return what the fault map of a program says of its cells; nothing where it has none."""
    faults, places = program.faults, _places(program)
    stuck = {} if places is None else _in_layers(program, places)
    measured = faults is not None and faults.gain_arrays is not None
    return KnownCells(stuck, places, faults if measured else None)


def stuck_cells(program: DeviceProgram) -> dict[str, dict[int, StuckCells]]:
    """Return the stuck cells that hold weights: by layer name, then by plane.

    State 1 is stuck at G_min, 2 at G_max, 3 at the conductance given.  Places no layer uses do
    not matter and are left out.
    """
    places = _places(program)
    return {} if places is None else _in_layers(program, places)


def _places(program: DeviceProgram) -> StuckPlaces | None:
    if program.faults is None or not len(program.faults.cells):
        return None
    target = Target.from_plain(program.target, name="the program's target")
    return StuckPlaces.of(program.faults, target)


def _in_layers(program: DeviceProgram, places: StuckPlaces) -> dict[str, dict[int, StuckCells]]:
    found = {name: _in_layer(layer, places) for name, layer in program.layers.items()}
    return {name: planes for name, planes in found.items() if planes}


@dataclass(frozen=True, slots=True)
class StuckPlaces:
    """Stuck cells in the order of their arrays.

    Attributes:
        array: Number of the array, ascending, int64 ``(n,)``.
        row: Word line.
        column: Bit line.
        g_us: Conductance, float32 [uS].
    """

    array: Numbers
    row: Numbers
    column: Numbers
    g_us: Conductances

    @classmethod
    def of(cls, faults: FaultRecord, target: Target) -> StuckPlaces:
        """Return the stuck cells of a record."""
        cell, state = target.cell, faults.cells[:, 3]
        levels = np.array([np.nan, cell.g_min_us, cell.g_max_us], dtype=np.float32)
        g_us = np.where(state == 3, faults.conductance_us, levels[np.where(state == 3, 0, state)])
        array, row, column = (faults.cells[:, k].astype(np.int64) for k in range(3))
        g_us = g_us.astype(np.float32)
        if (array[1:] >= array[:-1]).all():
            return cls(array, row, column, g_us)
        order = np.argsort(array, kind="stable")
        return cls(array[order], row[order], column[order], g_us[order])

    def on(self, array: int) -> tuple[Numbers, Numbers, Conductances]:
        """Return the word lines, bit lines and conductances [uS] of those of an array."""
        low, high = np.searchsorted(self.array, (array, array + 1))
        return self.row[low:high], self.column[low:high], self.g_us[low:high]


def _in_layer(layer: ProgramLayer, known: StuckPlaces) -> dict[int, StuckCells]:
    """Return the stuck cells of one layer by plane."""
    found = {}
    for plane in range(planes_of(layer)):
        _, rows, columns = layer.cells.planes[plane].shape
        indices, values = [], []
        for block in blocks(layer, plane):
            word, bit, g_us = known.on(block.array)
            if not len(word):
                continue
            row, column, which = block.find(word, bit)
            if len(which):
                line = block.group * rows + block.rows.start + row
                indices.append(line * columns + block.columns.start + column)
                values.append(g_us[which])
        if indices:
            found[plane] = StuckCells(
                torch.from_numpy(np.concatenate(indices)), torch.from_numpy(np.concatenate(values))
            )
    return found


def _gains(layer: ProgramLayer, plane: int, faults: FaultRecord) -> CellGains | None:
    """Return the gains of one plane; None where none of its arrays was measured."""
    assert faults.gain_arrays is not None, "gains are of arrays"
    number = {int(array): k for k, array in enumerate(faults.gain_arrays)}
    measured = [block for block in blocks(layer, plane) if block.array in number]
    if not measured:
        return None
    shape = tuple(layer.cells.planes[plane].shape)
    known = np.zeros(shape, bool)
    for block in measured:
        known[block.cells] = True

    def of_cells(gain: npt.NDArray[np.float32] | None) -> Tensor | None:
        if gain is None:
            return None
        out = np.ones(shape, np.float32)
        for block in measured:
            out[block.cells] = gain[number[block.array]][block.word_lines][:, block.bit_lines]
        return torch.from_numpy(out)

    lrs, hrs = of_cells(faults.gain_lrs), of_cells(faults.gain_hrs)
    return CellGains(lrs, hrs, None if known.all() else torch.from_numpy(known))
