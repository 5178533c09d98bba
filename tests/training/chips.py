"""Operations of hand-made programs as one chip runs them, cells open to gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cimc.device.normals import Normals
from cimc.executor.bind import Reader, bind
from cimc.executor.crossbars import Crossbars, wafer_of
from cimc.executor.physics import Physics, physics_of
from cimc.executor.prepare import read_of
from cimc.executor.workspace import Workspace
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram
from tests.executor.programs import quarters
from tests.executor.test_circuits import WEIGHTS, device_of, program_of, ranges

KINDS = ("matrix", "stack", "left", "conv1d", "conv", "groups", "conv3d", "transposed")
#: All ways of storing weights for two kinds, one each for the others.
KINDS_AND_WEIGHTS = [(k, w) for k in ("matrix", "groups") for w in WEIGHTS] + [
    (kind, WEIGHTS[number % len(WEIGHTS)]) for number, kind in enumerate(KINDS)
]
SIGNED, UNSIGNED = Dac(5, True, "static", 2.0), Dac(4, False, "static", 3.0)


@dataclass(frozen=True)
class Case:
    """A program of one operation and an input for it."""

    program: DeviceProgram
    x: Tensor


def case(
    kind: str,
    weights: str,
    drive: str = "parallel",
    signed: str = "bipolar",
    *,
    dac: Dac = SIGNED,
    adc: int | None = 7,
    **changes: Any,
) -> Case:
    """Return a small operation of a kind, with row tiles and padding where there are any."""
    device = device_of(weights, drive, signed, **changes)
    op, rows, weight, geometry, shape, attributes, operand = _layout(kind)
    tiles = len(range(0, geometry.rows, rows // geometry.taps * geometry.taps or rows))
    if kind == "transposed":
        tiles = -(-geometry.rows // rows)
    negative = weights not in ("after-adc", "digital") or (signed == "bipolar" and dac.signed)
    program = program_of(
        op, weight, geometry, weights, device, dac, ["n", *shape[1:]],
        adc_bits=adc, adc_signed=negative, rows=rows, attributes=attributes, operand=operand,
        i_max_us=ranges(weights, tiles, geometry.groups * geometry.columns, 24.0),
    )  # fmt: skip
    draw = torch.Generator().manual_seed(5)
    x = torch.empty(shape).normal_(0, 1.1, generator=draw)
    return Case(program, x if dac.signed else x.abs())


def _layout(
    kind: str,
) -> tuple[str, int, Tensor, Geometry, tuple[int, ...], dict[str, Any], int]:
    if kind == "matrix":
        return "matmul", 5, quarters((11, 6), 1), Geometry("matrix", 1, 11, 6), (7, 11), {}, 1
    if kind == "stack":
        geometry = Geometry("matrix", 3, 5, 4, stack=(3,))
        return "matmul", 3, quarters((3, 5, 4), 3), geometry, (2, 3, 7, 5), {}, 1
    if kind == "left":
        geometry = Geometry("matrix-left", 3, 5, 4, stack=(3,))
        return "matmul", 3, quarters((3, 4, 5), 3), geometry, (2, 3, 5, 6), {}, 0
    if kind == "transposed":
        geometry = Geometry("conv-transpose", 2, 2, 8, (2, 2))
        attributes = {"group": 2, "strides": [2, 2]}
        weight = quarters((4, 2, 2, 2), 3)
        return "conv_transpose", 1, weight, geometry, (2, 4, 3, 3), attributes, 1
    axes = {"conv1d": 1, "conv3d": 3}.get(kind, 2)
    groups = 2 if kind == "groups" else 1
    kernel, space = (3, 2, 2)[:axes], (4, 4, 3)[:axes]
    taps = int(np.prod(kernel))
    geometry = Geometry("conv", groups, 2 * taps, 3, kernel)
    attributes = {"group": groups, "pads": [1] * 2 * axes, "strides": [2] + [1] * (axes - 1)}
    weight = quarters((groups * 3, 2, *kernel), 2)
    return "conv", taps, weight, geometry, (2, groups * 2, *space), attributes, 1


def operation(
    program: DeviceProgram,
    planes: dict[str, Sequence[Tensor]] | None = None,
    *,
    reader: Reader = read_of,
    mode: str = "chip",
    effects: frozenset[str] | None = None,
    at_s: float | None = None,
    seed: int = 3,
    physics: Physics | None = None,
) -> Callable[..., Any]:
    """Return what runs the first operation on one chip.

    Args:
        program: Of one operation.
        planes: Conductance targets in place of the program's, by layer [uS].
        reader: How reads are prepared.
        mode: Of the executor.
        effects: Of the executor.
        at_s: Of the executor [s].
        seed: The chip.
        physics: In place of those of the mode.
    """
    layers = dict(program.layers)
    for name, given in (planes or {}).items():
        cells = replace(layers[name].cells, planes=tuple(given), states_us=None)
        layers[name] = replace(layers[name], cells=cells)
    program = replace(program, layers=layers)
    physics = physics or physics_of(program, mode, effects, at_s)
    crossbars = Crossbars(wafer_of(program, physics, torch.device("cpu")), seed)
    normals = Normals(seed, "read") if physics.fluctuates else None
    reads = bind(program, crossbars, physics, seed, normals, Workspace(), reader)
    (first,) = program.operations
    if first.name in reads.operations:
        return reads.operations[first.name]
    exact = {k: reads.weights[r[1:]] for k, r in enumerate(first.inputs) if r and r[0] == "#"}

    def plain(*operands: Any) -> Any:
        whole = [exact.get(k, value) for k, value in enumerate(operands)]
        return OPERATORS[first.op].function(*whole, **first.attributes)

    return plain


def run(program: DeviceProgram, x: Tensor, **options: Any) -> Tensor:
    """Return the first result of the first operation for an input."""
    (first,) = program.operations
    operands = [x if r == "%x" else program.constants.get((r or "")[1:]) for r in first.inputs]
    result = operation(program, **options)(*operands)
    found: Tensor = result[0] if isinstance(result, tuple) else result
    return found
