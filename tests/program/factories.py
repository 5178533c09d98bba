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
from cimc.targets.lanes import lane_count
from cimc.targets.layout import layout_of

STATES = 16


#: Every layout of cells: an encoding, or one of the kinds that :func:`target` knows besides.
KINDS = (
    "differential-pair",
    "twin-arrays",
    "offset-column",
    "bit-sliced",
    "sliced-conductances",
    "own-states",
    "signed",
)
#: Slices of a weight of the two kinds that have them.
SLICES = 3


def target(kind: str = "differential-pair") -> Target:
    """Return a small target: 24 arrays of 32 x 24 cells (14 for one bit line a weight).

    So the first fully connected layer of :func:`mlp` takes three row and two column tiles (three
    of bit slices).

    Args:
        kind: An encoding (``signed``: the ideal target, unlimited; ``bit-sliced``: multiplied
            digitally), ``twin-arrays`` (pairs), ``sliced-conductances``, or ``own-states``: pairs
            whose columns have tables of states of their own.
    """
    if kind == "signed":
        return load_target("ideal")
    changes: dict[str, object] = {
        "array.rows": 32,
        "array.columns": 14 if kind in ("offset-column", "twin-arrays") else 24,
        "chip.cores": 2,
        "chip.arrays_per_core": 12,
    }
    if kind == "twin-arrays":
        changes["pair.placement"] = kind
    elif kind in ("bit-sliced", "sliced-conductances"):
        factors = "digital" if kind == "bit-sliced" else "conductance"
        changes["encoding"] = "bit-sliced"
        changes["slices"] = {"count": SLICES, "multipliers": factors}
        changes["cell.default_levels"] = 2**SLICES
    elif kind != "own-states":
        changes["encoding"] = kind
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
    layout = layout_of(device)
    column_cuts = cuts(columns, (width - layout.extra) // layout.bit_lines)
    grid = [
        (g, t, *r, *c) for g in range(groups) for t, r in enumerate(row_cuts) for c in column_cuts
    ]
    tiles = [(*cells, first_array + layout.arrays * k, 0, 0) for k, cells in enumerate(grid)]
    analog = states is None or encoding == "signed"
    # Without subtraction before the converter, currents are larger.
    full = 400.0 if encoding == "bit-sliced" else 40.0
    converters = [
        ProgramUse(
            operation,
            operand,
            Dac() if analog else Dac(8, True, "static", 2.5),
            Adc() if analog else Adc(8, torch.full((len(row_cuts), lane_count(device), 1), full)),
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
        twin=layout.arrays == 2,
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
    elif device.encoding == "bit-sliced":
        shapes *= SLICES
    low, high = device.cell.g_min_us, device.cell.g_max_us
    if device.encoding == "signed":
        low, high = -1.0, 1.0
    if states is None:
        planes = [rng.uniform(low, high, s).astype(np.float32) for s in shapes]
        cells = Cells(tuple(map(torch.from_numpy, planes)), None, torch.ones(1))
        return _with_factors(cells, device, groups * columns)
    codes = [rng.integers(0, states, s).astype(np.uint8) for s in shapes]
    table = torch.linspace(low, high, states)
    cells = Cells(tuple(map(torch.from_numpy, codes)), table, torch.full((1,), 0.05))
    return _with_factors(cells, device, 1)


def _with_factors(cells: Cells, device: Target, columns: int) -> Cells:
    """Return cells with what slices need besides: the same for all columns, or for each."""
    if device.encoding != "bit-sliced" or device.slices is None:
        return cells
    factors = torch.tensor([0.25, 0.5, 1.0])
    if columns > 1:
        factors = factors[:, None] - torch.linspace(0, 0.1, columns)
    digital = device.slices.multipliers == "digital"
    return replace(
        cells,
        multipliers=factors.contiguous() if digital else None,
        correction_us=torch.linspace(-12.0, -11.0, columns),
    )


def mlp(
    kind: str = "differential-pair",
    *,
    states: int | None = STATES,
    extras: bool = True,
) -> DeviceProgram:
    """Return a network of one convolution and two fully connected layers.

    ``x (n, 2, 6, 6) -> conv 3 x 3 -> relu -> flatten -> gemm -> relu -> gemm -> y (n, 10)``.

    Args:
        kind: Of the target, see :func:`target`.
        states: States of a cell; None: float32 planes.
        extras: With golden vectors, calibration data and a fault map.
    """
    device = target(kind)
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
        if kind == "own-states" and states is not None:
            layers[name] = with_own_states(layers[name])
        arrays += len(layers[name].tiles) * (1 + layers[name].twin)
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


def with_own_states(layer: ProgramLayer) -> ProgramLayer:
    """Return the layer with a table of states for each column."""
    states = layer.cells.states_us
    assert states is not None
    columns = layer.geometry.groups * layer.geometry.columns
    share = torch.linspace(0.5, 1.0, columns)[:, None]
    tables = states[0] + share * (states - states[0])
    return replace(layer, cells=replace(layer.cells, states_us=tables))


def plane_us(layer: ProgramLayer, number: int) -> np.ndarray:
    """Return the conductances of a plane, cell by cell [uS]."""
    plane, states = layer.cells.planes[number].numpy(), layer.cells.states_us
    if states is None:
        return plane
    if states.ndim == 1:
        return states.numpy()[plane]
    columns = layer.geometry.columns
    out = np.empty(plane.shape, np.float32)
    for (g, r, c), state in np.ndenumerate(plane):
        out[g, r, c] = states[g * columns + c, state]
    return out


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


def with_maps(program: DeviceProgram, seed: int = 0) -> DeviceProgram:
    """Return a program whose tiles, one an array, lie on random lines of it, spares included."""
    rng = np.random.default_rng(seed)
    layers = {name: _mapped(layer, program, rng) for name, layer in program.layers.items()}
    return replace(program, layers=layers)


def _mapped(layer: ProgramLayer, program: DeviceProgram, rng: np.random.Generator) -> ProgramLayer:
    array = program.target["array"]
    width = bit_lines_of(layer)
    words, bits = [], []
    for tile in layer.tiles:
        rows, columns = int(tile[3]), int(tile[5]) + (layer.encoding == "offset-column")
        words.append(rng.permutation(array["rows"])[:rows])
        # Runs of `width` lines, anywhere: as many single lines, each stretched to the right.
        starts = np.sort(rng.permutation(array["columns"] - columns * (width - 1))[:columns])
        bits.append(rng.permutation(starts + np.arange(columns) * (width - 1)))
    lines = (np.concatenate(some).astype(np.int32) for some in (words, bits))
    return replace(layer, **dict(zip(("word_lines", "bit_lines"), lines, strict=True)))


def bit_lines_of(layer: ProgramLayer) -> int:
    """Return the adjacent bit lines of a weight on one array."""
    if layer.encoding == "offset-column" or layer.twin:
        return 1
    return len(layer.cells.planes)


def renumbered(program: DeviceProgram, numbers: list[int]) -> DeviceProgram:
    """Return a program whose array ``k`` is another one of the chip: ``numbers[k]``.

    Of twin arrays, an even number and the next.
    """
    layers = {}
    for name, layer in program.layers.items():
        tiles = layer.tiles.copy()
        tiles[:, 6] = np.array(numbers)[tiles[:, 6]]
        layers[name] = replace(layer, tiles=tiles)
    return replace(program, layers=layers)


def with_gains(program: DeviceProgram, arrays: list[int], seed: int = 0) -> DeviceProgram:
    """Return a program for a chip of which some arrays' device-to-device variation is known."""
    rng = np.random.default_rng(seed)
    array = program.target["array"]
    shape = len(arrays), array["rows"], array["columns"]
    lrs, hrs = (rng.lognormal(0, s, shape).astype(np.float32) for s in (0.2, 0.4))
    faults = program.faults or FaultRecord(
        "chip-2", np.empty((0, 4), np.int32), np.empty(0, np.float32)
    )
    known = replace(faults, gain_arrays=np.array(arrays, np.int32), gain_lrs=lrs, gain_hrs=hrs)
    return replace(program, faults=known)
