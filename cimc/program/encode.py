"""From a program in memory to what is written: tensors and manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ir.network import Signal
from cimc.program import bits, container_write, files, manifest
from cimc.program.container import BlobRecord
from cimc.program.container_write import Source
from cimc.program.model import (
    Calibration,
    DeviceProgram,
    FaultRecord,
    Golden,
    Operation,
    ProgramLayer,
    ProgramUse,
)
from cimc.program.originals import plane_bits
from cimc.program.size import cells_used
from cimc.program.values import storable, to_tensor


def program_tensors(program: DeviceProgram) -> dict[str, Source]:
    """Return the tensors of ``program.safetensors``.

    Raises:
        ProgramError: ``CIMC-P26``, a tensor cannot be stored.
    """
    tensors = {files.constant(name): value for name, value in program.constants.items()}
    out: dict[str, Source] = {}
    for layer in program.layers.values():
        tensors.update(_layer_tensors(layer))
        out.update(_plane_sources(layer))
    if program.faults is not None:
        tensors.update(_fault_tensors(program.faults))
    out.update({name: container_write.of_tensor(t, where=name) for name, t in tensors.items()})
    return out


def _fault_tensors(faults: FaultRecord) -> dict[str, Tensor]:
    values = {
        files.FAULT_CELLS: faults.cells,
        files.FAULT_CONDUCTANCES: faults.conductance_us,
        files.GAIN_ARRAYS: faults.gain_arrays,
        files.GAIN_LRS: faults.gain_lrs,
        files.GAIN_HRS: faults.gain_hrs,
    }
    return {n: to_tensor(v, where=n) for n, v in values.items() if v is not None}


def _layer_tensors(layer: ProgramLayer) -> dict[str, Tensor]:
    tensors = {
        "gain": layer.cells.gain,
        "tiles": to_tensor(layer.tiles, where=layer.name),
        "row_tiles": to_tensor(layer.row_tiles, where=layer.name),
    }
    for key, lines in (("word_lines", layer.word_lines), ("bit_lines", layer.bit_lines)):
        if lines is not None:
            tensors[key] = to_tensor(lines, where=layer.name)
    if layer.cells.states_us is not None:
        tensors["states_us"] = layer.cells.states_us
    if layer.cells.multipliers is not None:
        tensors["multipliers"] = layer.cells.multipliers
    if layer.cells.correction_us is not None:
        tensors["correction_us"] = layer.cells.correction_us
    named = {files.of_layer(layer.name, key): value for key, value in tensors.items()}
    for k, use in enumerate(layer.uses):
        if use.adc.i_max_us is not None:
            named[files.adc_range(layer.name, k)] = use.adc.i_max_us
    return named


def _plane_sources(layer: ProgramLayer) -> dict[str, Source]:
    out = {}
    for k, plane in enumerate(layer.cells.planes):
        name = files.plane(layer.name, k)
        states = layer.cells.states_us
        if plane.dim() != 3 or plane.dtype != (torch.float32 if states is None else torch.uint8):
            raise ProgramError(
                "CIMC-P26",
                f"a plane is (groups, rows, columns) of float32 or of uint8 states "
                f"(got {plane.dtype} {tuple(plane.shape)})",
                where=name,
            )
        out[name] = (
            container_write.of_tensor(plane, where=name)
            if states is None
            else _packed(plane, bits.bits_of(states.shape[-1]))
        )
    return out


def _packed(plane: Tensor, width: int) -> Source:
    groups, rows, columns = plane.shape
    shape = (groups, rows, bits.packed_bytes(columns, width))
    array = plane.detach().numpy()
    return Source("U8", shape, lambda: bits.blocks(array, width))


def golden_tensors(golden: Golden) -> dict[str, Source]:
    """Return the tensors of ``golden.safetensors``.

    Outputs that are no tensors (text, sequences) are left out: no tester could compare them.
    """
    outputs, layers = storable(golden.outputs), storable(golden.layers)
    return _sources({"input": golden.inputs, "output": outputs, "layer": layers})


def can_be_replayed(golden: Golden) -> bool:
    """Tell whether all inputs are tensors, so that golden vectors are worth storing."""
    return len(storable(golden.inputs)) == len(golden.inputs)


def calibration_tensors(data: Calibration) -> dict[str, Source]:
    """Return the tensors of ``calibration.safetensors``."""
    groups = {
        "input": data.inputs,
        "weight": data.weights,
        "mean": data.means,
        "constant": data.constants,
    }
    return {**_sources(groups), **_originals(data.originals)}


def _originals(values: Mapping[str, Tensor]) -> dict[str, Source]:
    """Return what a program had before it was made for a chip; states are packed."""
    out = {}
    for name, value in values.items():
        key, width = f"original/{name}", plane_bits(name, values)
        packed = width is not None and value.dtype == torch.uint8 and value.dim() == 3
        if packed and width is not None:
            out[key] = _packed(value, width)
        else:
            out[key] = container_write.of_tensor(to_tensor(value, where=key), where=key)
    return out


def _sources(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Source]:
    out = {}
    for group, values in groups.items():
        for name, value in values.items():
            key = f"{group}/{name}"
            out[key] = container_write.of_tensor(to_tensor(value, where=key), where=key)
    return out


def manifest_data(program: DeviceProgram, blobs: Mapping[str, BlobRecord]) -> dict[str, Any]:
    """Return the manifest of a program as plain data, in the order it is written."""
    return {
        "format": manifest.FORMAT,
        "version": manifest.VERSION,
        "provenance": program.provenance,
        "warnings": list(program.warnings),
        "target": program.target,
        "batched": program.batched,
        "arrays": arrays_data(program),
        "inputs": [_signal(s) for s in program.inputs],
        "outputs": [
            {**_signal(s), "value": value}
            for s, value in zip(program.outputs, program.results, strict=True)
        ],
        "operations": [_operation(o) for o in program.operations],
        "layers": [_layer(layer) for layer in program.layers.values()],
        "faults": None if program.faults is None else _faults(program.faults),
        "files": {name: _file(record) for name, record in blobs.items()},
    }


def _faults(faults: FaultRecord) -> dict[str, Any]:
    gains = faults.gain_arrays
    return {
        "chip": faults.chip,
        "cells": len(faults.cells),
        "gain_arrays": None if gains is None else len(gains),
    }


def arrays_data(program: DeviceProgram) -> dict[str, Any]:
    """Return the array inventory of a program."""
    array = program.target["array"]
    return {
        "used": program.arrays,
        "rows": array["rows"],
        "columns": array["columns"],
        "cells_used": sum(cells_used(layer) for layer in program.layers.values()),
    }


def _signal(signal: Signal) -> dict[str, Any]:
    shape = None if signal.shape is None else list(signal.shape)
    return {"name": signal.name, "dtype": signal.dtype, "shape": shape}


def _operation(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "op": operation.op,
        "inputs": list(operation.inputs),
        "attributes": {k: _plain(v) for k, v in operation.attributes.items()},
        "outputs": list(operation.outputs),
        "source": operation.source,
    }


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _layer(layer: ProgramLayer) -> dict[str, Any]:
    g = layer.geometry
    states = layer.cells.states_us
    return {
        "name": layer.name,
        "source": layer.source,
        "encoding": layer.encoding,
        "cells": {
            "planes": len(layer.cells.planes),
            "states": None if states is None else states.shape[-1],
            "bits": None if states is None else bits.bits_of(states.shape[-1]),
        },
        "tiles": len(layer.tiles),
        "row_tiles": len(layer.row_tiles),
        "one_by_one": layer.one_by_one,
        "geometry": {
            "kind": g.kind,
            "groups": g.groups,
            "rows": g.rows,
            "columns": g.columns,
            "kernel": list(g.kernel),
            "transposed": g.transposed,
            "stack": list(g.stack),
        },
        "uses": [_use(u) for u in layer.uses],
    }


def _use(use: ProgramUse) -> dict[str, Any]:
    return {
        "operation": use.operation,
        "operand": use.operand,
        "dac": {
            "bits": use.dac.bits,
            "signed": use.dac.signed,
            "policy": use.dac.policy,
            "x_max": use.dac.x_max,
        },
        "adc": {
            "bits": use.adc.bits,
            "signed": use.adc.signed,
            "ranges": use.adc.i_max_us is not None,
        },
        "fitted": None if use.fitted is None else asdict(use.fitted),
    }


def _file(record: BlobRecord) -> dict[str, Any]:
    tensors = {n: [t.dtype, list(t.shape), t.sha256] for n, t in record.tensors.items()}
    return {"sha256": record.sha256, "bytes": record.size, "tensors": tensors}
