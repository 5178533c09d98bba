"""From what was read, tensors and manifest, back to a program in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS, Adc, Cells, Dac, Fitted
from cimc.ir.network import Signal
from cimc.program import bits, files, manifest
from cimc.program.model import (
    Calibration,
    DeviceProgram,
    FaultRecord,
    Golden,
    Operation,
    ProgramLayer,
    ProgramUse,
)
from cimc.program.originals import unpacked
from cimc.program.values import to_array


@dataclass(slots=True)
class Tensors:
    """The tensors of one file, each taken exactly once."""

    file: str
    tensors: Mapping[str, Tensor]
    taken: set[str] = field(default_factory=set)

    def take(self, name: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> Tensor:
        """Return a tensor of that type and shape (None: any size).

        Raises:
            ProgramError: ``CIMC-P10``.
        """
        tensor = self.tensors.get(name)
        where = f"{self.file}: {name[:200]}"
        if tensor is None:
            raise ProgramError("CIMC-P10", "the tensor is missing", where=where)
        fits = len(shape) == tensor.dim() and all(
            want in (None, got) for want, got in zip(shape, tensor.shape, strict=True)
        )
        if tensor.dtype != dtype or not fits:
            raise ProgramError(
                "CIMC-P10",
                f"should be {dtype} {list(shape)} (got {tensor.dtype} {list(tensor.shape)})",
                where=where,
            )
        self.taken.add(name)
        return tensor

    def take_if_there(
        self, name: str, dtype: torch.dtype, shape: tuple[int | None, ...]
    ) -> Tensor | None:
        """Return a tensor as :meth:`take` does; None where there is none of that name.

        Raises:
            ProgramError: ``CIMC-P10``.
        """
        return self.take(name, dtype, shape) if name in self.tensors else None

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Return all tensors of a group, by the rest of their name."""
        found = {n: t for n, t in self.tensors.items() if n.startswith(f"{prefix}/")}
        self.taken |= found.keys()
        return {name[len(prefix) + 1 :]: tensor for name, tensor in found.items()}

    def finish(self) -> None:
        """Refuse tensors nobody took.

        Raises:
            ProgramError: ``CIMC-P10``.
        """
        extra = sorted(self.tensors.keys() - self.taken)
        if extra:
            raise ProgramError(
                "CIMC-P10", "the tensor belongs to nothing", where=f"{self.file}: {extra[0][:200]}"
            )


def program(
    record: manifest.Manifest, blobs: Mapping[str, Mapping[str, Tensor]], digest: str
) -> DeviceProgram:
    """Return the program of a manifest and its tensors.

    Raises:
        ProgramError: ``CIMC-P10`` a tensor is missing, unused or of the wrong type or shape,
            ``CIMC-P18`` names twice, ``CIMC-P19`` cell states that cannot be unpacked.
    """
    tensors = Tensors(files.PROGRAM, blobs[files.PROGRAM])
    names = [layer.name for layer in record.layers]
    if len(set(names)) != len(names):
        raise ProgramError("CIMC-P18", "two layers have the same name", where=files.MANIFEST)
    pair = record.target.get("pair")
    twin = isinstance(pair, dict) and pair.get("placement") == "twin-arrays"
    layers = {layer.name: _layer(layer, tensors, twin) for layer in record.layers}
    result = DeviceProgram(
        inputs=tuple(_signal(s) for s in record.inputs),
        outputs=tuple(_signal(s) for s in record.outputs),
        results=tuple(s.value for s in record.outputs),
        operations=tuple(_operation(o) for o in record.operations),
        constants=tensors.group("constant"),
        layers=layers,
        target=record.target,
        arrays=record.arrays.used,
        provenance=record.provenance,
        golden=_golden(blobs.get(files.GOLDEN)),
        calibration=_calibration(blobs.get(files.CALIBRATION), layers),
        faults=_faults(record.faults, tensors),
        sha256=digest,
        warnings=tuple(record.warnings),
        batched=record.batched,
    )
    tensors.finish()
    return result


def _signal(record: manifest.SignalRecord) -> Signal:
    shape = None if record.shape is None else tuple(record.shape)
    return Signal(record.name, record.dtype, shape)


def _operation(record: manifest.OperationRecord) -> Operation:
    return Operation(
        record.name,
        record.op,
        tuple(record.inputs),
        record.attributes,
        tuple(record.outputs),
        record.source,
    )


def _layer(record: manifest.LayerRecord, tensors: Tensors, twin: bool) -> ProgramLayer:
    g, name = record.geometry, record.name
    geometry = Geometry(
        g.kind, g.groups, g.rows, g.columns, tuple(g.kernel), g.transposed, tuple(g.stack)
    )
    tiles = tensors.take(
        files.of_layer(name, "tiles"), torch.int32, (record.tiles, len(TILE_FIELDS))
    )
    row_tiles = tensors.take(files.of_layer(name, "row_tiles"), torch.int32, (record.row_tiles, 2))
    word, bit = (
        tensors.take_if_there(files.of_layer(name, key), torch.int32, (None,))
        for key in ("word_lines", "bit_lines")
    )
    return ProgramLayer(
        name=name,
        source=record.source,
        geometry=geometry,
        encoding=record.encoding,
        cells=_cells(record, tensors),
        tiles=tiles.numpy(),
        row_tiles=row_tiles.numpy(),
        uses=tuple(_use(record, k, tensors) for k in range(len(record.uses))),
        twin=twin and record.encoding == "differential-pair",
        word_lines=None if word is None else word.numpy(),
        bit_lines=None if bit is None else bit.numpy(),
        one_by_one=record.one_by_one,
    )


def _use(record: manifest.LayerRecord, index: int, tensors: Tensors) -> ProgramUse:
    use = record.uses[index]
    ranges = None
    if use.adc.ranges:
        name = files.adc_range(record.name, index)
        ranges = tensors.take(name, torch.float32, (record.row_tiles, None, None))
    dac = Dac(use.dac.bits, use.dac.signed, use.dac.policy, use.dac.x_max)
    adc = Adc(use.adc.bits, ranges, use.adc.signed)
    fitted = None if use.fitted is None else Fitted(**use.fitted.model_dump())
    return ProgramUse(use.operation, use.operand, dac, adc, fitted)


def _cells(record: manifest.LayerRecord, tensors: Tensors) -> Cells:
    name, cells = record.name, record.cells
    gain = tensors.take(files.of_layer(name, "gain"), torch.float32, (None,))
    if (cells.states is None) != (cells.bits is None):
        raise ProgramError(
            "CIMC-P19", "states and bits are both null or both numbers", where=f"layer {name}"
        )
    planes = tuple(_plane(record, k, tensors) for k in range(cells.planes))
    states = None
    if cells.states is not None:
        table = files.of_layer(name, "states_us")
        found = tensors.tensors.get(table)
        columns = record.geometry.groups * record.geometry.columns
        each = found is not None and found.dim() == 2
        shape = (columns, cells.states) if each else (cells.states,)
        states = tensors.take(table, torch.float32, shape)
    if record.encoding != "bit-sliced":
        return Cells(planes, states, gain)
    correction = tensors.take(files.of_layer(name, "correction_us"), torch.float32, (None,))
    return Cells(planes, states, gain, _multipliers(record, tensors), correction)


def _multipliers(record: manifest.LayerRecord, tensors: Tensors) -> Tensor | None:
    """Return the digital multipliers of slices; None when there are none."""
    name = files.of_layer(record.name, "multipliers")
    found = tensors.tensors.get(name)
    if found is None:
        return None
    shape = (record.cells.planes,) if found.dim() == 1 else (record.cells.planes, None)
    return tensors.take(name, torch.float32, shape)


def _plane(record: manifest.LayerRecord, index: int, tensors: Tensors) -> Tensor:
    g, cells = record.geometry, record.cells
    offsets = record.encoding == "offset-column" and index == 1
    name = files.plane(record.name, index)
    if cells.states is None or cells.bits is None:
        return tensors.take(
            name, torch.float32, (g.groups, g.rows, None if offsets else g.columns)
        )
    if cells.bits != bits.bits_of(cells.states):
        raise ProgramError(
            "CIMC-P19",
            f"{cells.states} states take {bits.bits_of(cells.states)} bits (got {cells.bits})",
            where=f"layer {record.name}",
        )
    columns = _offset_columns(record, tensors) if offsets else g.columns
    width = bits.packed_bytes(columns, cells.bits)
    packed = tensors.take(name, torch.uint8, (g.groups, g.rows, width))
    if math.prod(packed.shape) == 0:
        raise ProgramError("CIMC-P19", "a plane without cells", where=name)
    return torch.from_numpy(bits.unpack(packed.numpy(), columns, cells.bits, where=name))


def _offset_columns(record: manifest.LayerRecord, tensors: Tensors) -> int:
    """Return the column tiles of a layer: distinct first columns in its tile table."""
    tiles = tensors.tensors[files.of_layer(record.name, "tiles")]
    return max(1, len(torch.unique(tiles[:, TILE_FIELDS.index("column")])))


def _arrays(group: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: to_array(tensor) for name, tensor in group.items()}


def _golden(tensors: Mapping[str, Tensor] | None) -> Golden | None:
    if tensors is None:
        return None
    taken = Tensors(files.GOLDEN, tensors)
    groups = [_arrays(taken.group(g)) for g in ("input", "output", "layer")]
    taken.finish()
    return Golden(*groups)


def _calibration(
    tensors: Mapping[str, Tensor] | None, layers: Mapping[str, ProgramLayer]
) -> Calibration | None:
    if tensors is None:
        return None
    taken = Tensors(files.CALIBRATION, tensors)
    inputs, weights, means, constants = (
        taken.group(g) for g in ("input", "weight", "mean", "constant")
    )
    originals = unpacked(taken.group("original"), layers)
    taken.finish()
    return Calibration(_arrays(inputs), weights, means, constants, originals)


def _faults(record: manifest.FaultsRecord | None, tensors: Tensors) -> FaultRecord | None:
    if record is None:
        return None
    cells = tensors.take(files.FAULT_CELLS, torch.int32, (record.cells, 4))
    values = tensors.take(files.FAULT_CONDUCTANCES, torch.float32, (record.cells,))
    if record.gain_arrays is None:
        return FaultRecord(record.chip, cells.numpy(), values.numpy())
    count = record.gain_arrays
    arrays = tensors.take(files.GAIN_ARRAYS, torch.int32, (count,))
    lrs, hrs = (
        tensors.take_if_there(name, torch.float32, (count, None, None))
        for name in (files.GAIN_LRS, files.GAIN_HRS)
    )
    return FaultRecord(
        record.chip,
        cells.numpy(),
        values.numpy(),
        arrays.numpy(),
        None if lrs is None else lrs.numpy(),
        None if hrs is None else hrs.numpy(),
    )
