"""Small device programs made by hand, one for each encoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Cells, Dac, Encoding
from cimc.ir.network import Signal
from cimc.program.model import (
    Calibration,
    DeviceProgram,
    FaultRecord,
    Golden,
    Operation,
    ProgramLayer,
    ProgramUse,
)
from cimc.targets import Target, load_target

STATES = 16


def target(encoding: Encoding = "differential-pair") -> Target:
    """Return a small target: 24 arrays of 32 x 24 cells (offset column 32 x 14, ideal unlimited).

    So the first fully connected layer of :func:`mlp` takes three row and two column tiles.
    """
    if encoding == "signed":
        return load_target("ideal")
    changes = {
        "array.rows": 32,
        "array.columns": 14 if encoding == "offset-column" else 24,
        "chip.cores": 2,
        "chip.arrays_per_core": 12,
        "encoding": encoding,
    }
    return load_target("rram").changed(changes)


def cuts(total: int, most: int) -> list[tuple[int, int]]:
    return [(first, min(most, total - first)) for first in range(0, total, most)]


def layer(
    name: str,
    geometry: Geometry,
    device: Target,
    uses: list[tuple[str, int]],
    *,
    first_array: int = 0,
    states: int | None = STATES,
    seed: int = 0,
) -> ProgramLayer:
    """Return a layer of random cells, one tile an array."""
    encoding: Encoding = device.encoding  # type: ignore[assignment]
    groups, rows, columns = geometry.shape
    row_cuts = cuts(rows, device.array.rows or rows)
    width = device.array.columns or columns
    wide = {"differential-pair": width // 2, "offset-column": width - 1, "signed": width}
    column_cuts = cuts(columns, wide[encoding])
    grid = [
        (g, t, *r, *c) for g in range(groups) for t, r in enumerate(row_cuts) for c in column_cuts
    ]
    tiles = [(*cells, first_array + k, 0, 0) for k, cells in enumerate(grid)]
    analog = states is None or encoding == "signed"
    converters = [
        ProgramUse(
            operation,
            operand,
            Dac() if analog else Dac(8, True, "static", 2.5),
            Adc() if analog else Adc(8, torch.full((len(row_cuts), 1, 1), 40.0)),
        )
        for operation, operand in uses
    ]
    return ProgramLayer(
        name=name,
        source=f"{name}.weight",
        geometry=geometry,
        encoding=encoding,
        cells=_cells(geometry, device, len(column_cuts), None if analog else states, seed),
        tiles=np.array(tiles, np.int32),
        row_tiles=np.array(row_cuts, np.int32),
        uses=tuple(converters),
    )


def _cells(
    geometry: Geometry, device: Target, column_tiles: int, states: int | None, seed: int
) -> Cells:
    rng = np.random.default_rng(seed)
    groups, rows, columns = geometry.shape
    shapes = [(groups, rows, columns)]
    if device.encoding == "differential-pair":
        shapes.append((groups, rows, columns))
    elif device.encoding == "offset-column":
        shapes.append((groups, rows, column_tiles))
    low, high = device.cell.g_min_us, device.cell.g_max_us
    if device.encoding == "signed":
        low, high = -1.0, 1.0
    if states is None:
        planes = [rng.uniform(low, high, s).astype(np.float32) for s in shapes]
        return Cells(tuple(map(torch.from_numpy, planes)), None, torch.ones(1))
    codes = [rng.integers(0, states, s).astype(np.uint8) for s in shapes]
    table = torch.linspace(low, high, states)
    return Cells(tuple(map(torch.from_numpy, codes)), table, torch.full((1,), 0.05))


def mlp(
    encoding: Encoding = "differential-pair",
    *,
    states: int | None = STATES,
    extras: bool = True,
) -> DeviceProgram:
    """Return a network of one convolution and two fully connected layers.

    ``x (n, 2, 6, 6) -> conv 3 x 3 -> relu -> flatten -> gemm -> relu -> gemm -> y (n, 10)``.

    Args:
        encoding: Of the target.
        states: States of a cell; None: float32 planes.
        extras: With golden vectors, calibration data and a fault map.
    """
    device = target(encoding)
    shapes = {
        "conv": Geometry("conv", 1, 18, 5, (3, 3)),
        "fc1": Geometry("matrix", 1, 80, 20, (), transposed=True),
        "fc2": Geometry("matrix", 1, 20, 10),
    }
    layers: dict[str, ProgramLayer] = {}
    arrays = 0
    for seed, (name, geometry) in enumerate(shapes.items()):
        layers[name] = layer(
            name,
            geometry,
            device,
            [(name, 1)],
            first_array=arrays,
            states=states,
            seed=seed,
        )
        arrays += len(layers[name].tiles)
    operations = (
        Operation(
            "conv", "conv", ("%x", "#conv", "@bias"), {"kernel_shape": [3, 3]}, ("c",), "c0"
        ),
        Operation("relu", "relu", ("%c",), {}, ("r",)),
        Operation("flatten", "flatten", ("%r",), {"axis": 1}, ("f",)),
        Operation("fc1", "gemm", ("%f", "#fc1"), {"transB": 1, "alpha": 1.0}, ("g",), "Gemm_1"),
        Operation("relu2", "relu", ("%g",), {}, ("h",)),
        Operation("fc2", "gemm", ("%h", "#fc2", "@b2"), {}, ("y",), "Gemm: 2"),
    )
    program = DeviceProgram(
        inputs=(Signal("x", "float32", ("batch", 2, 6, 6)),),
        outputs=(Signal("y", "float32", ("batch", 10)),),
        results=("%y",),
        operations=operations,
        constants={"bias": torch.arange(5.0), "b2": torch.linspace(-1, 1, 10)},
        layers=layers,
        target=device.plain(),
        arrays=arrays,
        provenance={"cimc": "0.1.0", "seed": 0, "pipeline": [{"name": "quantize", "levels": 8}]},
        warnings=('a warning: with "quotes" and a\nline',),
    )
    return with_extras(program) if extras else program


def with_extras(program: DeviceProgram) -> DeviceProgram:
    """Return the program of :func:`mlp` with golden vectors, calibration data and faults."""
    rng = np.random.default_rng(7)

    def values(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    golden = Golden(
        {"x": values(3, 2, 6, 6)},
        {"y": values(3, 10)},
        {"conv": values(3, 5, 4, 4), "fc1": values(3, 20)},
    )
    calibration = Calibration(
        {"x": values(4, 2, 6, 6)},
        {n: torch.from_numpy(values(*x.geometry.shape)) for n, x in program.layers.items()},
        {"fc2": torch.from_numpy(values(10))},
    )
    faults = FaultRecord(
        "chip-1", np.array([[0, 1, 2, 1], [1, 3, 4, 3]], np.int32), np.array([0, 5], np.float32)
    )
    return replace(program, golden=golden, calibration=calibration, faults=faults)
