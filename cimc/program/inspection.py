"""What ``cimc inspect`` shows of a program, as data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cimc.errors import ProgramError
from cimc.ir.layer import Fitted
from cimc.program.arrays import Placement, conductance_us, placements
from cimc.program.faulty_cells import faulty_cells, negative_gains
from cimc.program.model import DeviceProgram, ProgramLayer, ProgramUse
from cimc.program.utilization import cell_utilization, layer_utilization


@dataclass(frozen=True, slots=True)
class UseSummary:
    """Converters where one operation reads a layer; ADC ranges in uS, least and greatest.

    ``fitted`` says how the ranges were found and what they clip; None in programs without.
    """

    operation: str
    operand: int
    dac_bits: int | None
    dac_signed: bool
    dac_policy: str
    x_max: float | None
    adc_bits: int | None
    adc_range_us: tuple[float, float] | None
    fitted: Fitted | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One weight on crossbars.

    Attributes:
        name: Unique.
        source: Parameter of the source model.
        kind: Kind of the geometry.
        shape: Groups, rows, columns.
        kernel: Spatial kernel sizes.
        encoding: How cells stand for a weight.
        states: States of a cell; None: any conductance.
        slices: Bit slices of a weight [-]; None: it has none.
        row_tiles: Row tiles [-].
        tiles: Tiles [-].
        arrays: Arrays that hold its tiles [-].
        cells: Cells in use [-].
        utilization: Share of those arrays it uses, 0..1.
        gain: Least and greatest weight units per uS.
        negative_gains: Columns whose G+ and G- changed places [-].
        word_line_map: Whether rows lie out of order.
        bit_line_map: Whether columns do.
        faulty_cells: Its cells that the chip's fault map names [-]; None without map.
        one_by_one: Whether groups that share an array are driven one after the other.
        uses: Where it is read.
    """

    name: str
    source: str
    kind: str
    shape: tuple[int, int, int]
    kernel: tuple[int, ...]
    encoding: str
    states: int | None
    slices: int | None
    row_tiles: int
    tiles: int
    arrays: int
    cells: int
    utilization: float
    gain: tuple[float, float]
    negative_gains: int
    word_line_map: bool
    bit_line_map: bool
    faulty_cells: int | None
    one_by_one: bool
    uses: tuple[UseSummary, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A program in short.

    Attributes:
        sha256: Digest of the program.
        provenance: Where it came from.
        target: Name of the target.
        inputs: Name, type and shape of each input.
        outputs: Likewise.
        operations: Operations [-].
        operators: How often each operator occurs, most frequent first.
        layers: Crossbar layers [-].
        weights: Weights on crossbars [-].
        digital_constants: Numbers that stay digital [-].
        arrays: Arrays used [-].
        array_rows: Rows of an array; None: unlimited.
        array_columns: Columns of an array; None: unlimited.
        cell_utilization: Cells in use over cells of the arrays in use, 0..1.
        golden: Golden samples [-]; None without golden vectors.
        calibration: Calibration samples kept [-]; None without.
        chip: Chip whose fault map it holds; None without.
        faulty_cells: Cells in use that the map names [-]; None without map.
        measured_arrays: Arrays whose device-to-device variation is known [-]; None without map.
        mapped_layers: Layers whose rows or columns lie out of order [-].
        warnings: What the compiler warned of.
    """

    sha256: str
    provenance: Mapping[str, Any]
    target: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: int
    operators: Mapping[str, int]
    layers: int
    weights: int
    digital_constants: int
    arrays: int
    array_rows: int | None
    array_columns: int | None
    cell_utilization: float
    golden: int | None
    calibration: int | None
    chip: str | None
    faulty_cells: int | None
    measured_arrays: int | None
    mapped_layers: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArraySummary:
    """One array: its size, what lies on it, and the range of its conductances [uS]."""

    array: int
    rows: int
    columns: int
    cells_used: int
    g_low_us: float
    g_high_us: float
    tiles: tuple[Placement, ...]


def summary(program: DeviceProgram) -> Summary:
    """Return a program in short."""
    counts = Counter(o.op for o in program.operations)
    array = program.target["array"]
    golden, kept, faults = program.golden, program.calibration, program.faults
    faulty = faulty_cells(program)
    return Summary(
        sha256=program.sha256,
        provenance=program.provenance,
        target=str(program.target["name"]),
        inputs=tuple(f"{s.name}: {s.dtype} {_shape(s.shape)}" for s in program.inputs),
        outputs=tuple(f"{s.name}: {s.dtype} {_shape(s.shape)}" for s in program.outputs),
        operations=len(program.operations),
        operators=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        layers=len(program.layers),
        weights=sum(int(np.prod(x.geometry.shape)) for x in program.layers.values()),
        digital_constants=_numbers(program),
        arrays=program.arrays,
        array_rows=array["rows"],
        array_columns=array["columns"],
        cell_utilization=cell_utilization(program),
        golden=None if golden is None else _samples(golden.inputs),
        calibration=None if kept is None else _samples(kept.inputs),
        chip=None if faults is None else faults.chip,
        faulty_cells=None if faulty is None else sum(faulty.values()),
        measured_arrays=None
        if faults is None
        else len(faults.gain_arrays if faults.gain_arrays is not None else ()),
        mapped_layers=sum(
            x.word_lines is not None or x.bit_lines is not None for x in program.layers.values()
        ),
        warnings=program.warnings,
    )


def _numbers(program: DeviceProgram) -> int:
    return sum(t.numel() for t in program.constants.values() if t.is_floating_point())


def _shape(shape: tuple[int | str, ...] | None) -> str:
    return "?" if shape is None else "x".join(str(s) or "?" for s in shape) or "scalar"


def _samples(inputs: Mapping[str, Any]) -> int:
    return max((len(v) for v in inputs.values() if v.ndim), default=0)


def layers(program: DeviceProgram) -> tuple[LayerSummary, ...]:
    """Return the crossbar layers in execution order."""
    taken, faulty = layer_utilization(program), faulty_cells(program) or {}
    return tuple(
        LayerSummary(
            name=name,
            source=x.source,
            kind=x.geometry.kind,
            shape=x.geometry.shape,
            kernel=x.geometry.kernel,
            encoding=x.encoding,
            states=None if x.cells.states_us is None else x.cells.states_us.shape[-1],
            slices=len(x.cells.planes) if x.encoding == "bit-sliced" else None,
            row_tiles=len(x.row_tiles),
            tiles=taken[name].tiles,
            arrays=taken[name].arrays,
            cells=taken[name].cells,
            utilization=taken[name].utilization,
            gain=(float(x.cells.gain.min()), float(x.cells.gain.max())),
            negative_gains=negative_gains(x),
            word_line_map=x.word_lines is not None,
            bit_line_map=x.bit_lines is not None,
            faulty_cells=faulty.get(name),
            one_by_one=x.one_by_one,
            uses=tuple(map(_use, x.uses)),
        )
        for name, x in program.layers.items()
    )


def _use(use: ProgramUse) -> UseSummary:
    ranges = use.adc.i_max_us
    return UseSummary(
        operation=use.operation,
        operand=use.operand,
        dac_bits=use.dac.bits,
        dac_signed=use.dac.signed,
        dac_policy=use.dac.policy,
        x_max=use.dac.x_max,
        adc_bits=use.adc.bits,
        adc_range_us=None if ranges is None else (float(ranges.min()), float(ranges.max())),
        fitted=use.fitted,
    )


def layer(program: DeviceProgram, name: str) -> ProgramLayer:
    """Return a layer by its name, or by that of its parameter in the source model.

    Raises:
        ProgramError: ``CIMC-P28``, there is none.
    """
    if name in program.layers:
        return program.layers[name]
    for candidate in program.layers.values():
        if candidate.source == name:
            return candidate
    known = ", ".join(list(program.layers)[:20])
    raise ProgramError("CIMC-P28", f"no crossbar layer '{name}'", hint=f"one of: {known}")


def array(program: DeviceProgram, number: int) -> ArraySummary:
    """Return what lies on an array.

    Raises:
        ProgramError: ``CIMC-P27``, there is no such array.
    """
    matrix = conductance_us(program, number)
    tiles = placements(program, number)
    return ArraySummary(
        array=number,
        rows=matrix.shape[0],
        columns=matrix.shape[1],
        cells_used=sum(t.rows * t.array_columns for t in tiles),
        g_low_us=float(matrix.min()),
        g_high_us=float(matrix.max()),
        tiles=tiles,
    )


def write_csv(program: DeviceProgram, number: int, path: str | Path) -> None:
    """Write the conductances of an array [uS]: one line a row, one number a column, no header.

    Each number is the shortest decimal that gives the float32 back.  The file appears complete.

    Raises:
        ProgramError: ``CIMC-P25`` the file cannot be written, ``CIMC-P27`` no such array.
    """
    path = Path(path)
    matrix = conductance_us(program, number)
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with temporary.open("w", newline="\n") as file:
            for row in matrix:
                file.write(",".join(row.astype(np.str_).tolist()) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise ProgramError(
            "CIMC-P25", f"cannot be written: {error.strerror}", where=str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
