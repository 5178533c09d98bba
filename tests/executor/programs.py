"""Small device programs made by hand, without the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS, Adc, Cells, Dac
from cimc.ir.network import Signal
from cimc.program.model import DeviceProgram, Operation, ProgramLayer, ProgramUse
from cimc.targets import Target, load_target

#: Multiples of 1/4 uS: sums of codes times conductances are exact in float32 in any order.
G_MIN, G_MAX = 2.0, 18.0


def target(**changes: object) -> Target:
    """The rram device with round conductances and no noise, unless changed."""
    plain: dict[str, object] = {
        "cell.g_min": f"{G_MIN} uS",
        "cell.g_max": f"{G_MAX} uS",
        "noise.programming": None,
        "noise.read": None,
        "sources": {},
    }
    renamed = {key.replace("__", "."): value for key, value in changes.items()}
    return load_target("rram").changed({**plain, **renamed})


def quarters(shape: Sequence[int], seed: int) -> Tensor:
    """Weights whose conductances in a pair are multiples of 1/4 uS, both signs, some zero."""
    draw = torch.Generator().manual_seed(seed)
    steps = torch.randint(-64, 65, tuple(shape), generator=draw)
    if steps.numel():
        steps.view(-1)[0] = 64
    return steps / 64.0


def layer(
    weight: Tensor,
    geometry: Geometry,
    uses: Sequence[ProgramUse],
    *,
    encoding: str = "differential-pair",
    rows: int | None = None,
    columns: int | None = None,
    per_column: bool = False,
    digital: bool = True,
    name: str = "w",
) -> ProgramLayer:
    """Return a layer whose cells stand for a weight; every tile has an array of its own."""
    matrix = geometry.to_matrix(weight).contiguous()
    groups, height, width = geometry.shape
    row_ranges = _ranges(height, rows, geometry.taps if geometry.kind == "conv" else 1)
    column_ranges = _ranges(width, columns, 1)
    tiles = [
        (g, t, r, rs, c, cs)
        for g in range(groups)
        for t, (r, rs) in enumerate(row_ranges)
        for c, cs in column_ranges
    ]
    table = [(*tile, number, 1, 2) for number, tile in enumerate(tiles)]
    return ProgramLayer(
        name,
        name,
        geometry,
        encoding,  # type: ignore[arg-type]
        _cells(matrix, encoding, len(column_ranges), per_column, digital),
        np.array(table, dtype=np.int32).reshape(-1, len(TILE_FIELDS)),
        np.array(row_ranges, dtype=np.int32).reshape(-1, 2),
        tuple(uses),
    )


def _cells(
    matrix: Tensor, encoding: str, column_tiles: int, per_column: bool, digital: bool
) -> Cells:
    if encoding == "signed":
        return Cells((matrix,), None, torch.ones(1))
    if encoding == "bit-sliced":
        return _slices(matrix, per_column, digital)
    limit = matrix.abs().amax(1, keepdim=True) if per_column else matrix.abs().max()
    limit = torch.where(limit > 0, limit, torch.ones_like(limit))
    span = G_MAX - G_MIN
    if encoding == "offset-column":
        middle = torch.full((*matrix.shape[:2], column_tiles), (G_MIN + G_MAX) / 2)
        planes = ((G_MIN + G_MAX) / 2 + matrix / limit * span / 2, middle)
        return Cells(planes, None, (limit / span * 2).reshape(-1))
    scaled = matrix / limit * span
    planes = (G_MIN + scaled.clamp(min=0), G_MIN + (-scaled).clamp(min=0))
    return Cells(planes, None, (limit / span).reshape(-1))


def _slices(matrix: Tensor, per_column: bool, digital: bool) -> Cells:
    """Return three slices of ``round(3.5 * (w + 1))``, a number of 0..7, times 4 / 7 - 1."""
    groups, _, columns = matrix.shape
    code = (3.5 * (matrix + 1)).round().long()
    bits = [(code >> k & 1).float() for k in range(3)]
    span = G_MAX - G_MIN
    gain = torch.linspace(1.0, 2.0, groups * columns) if per_column else torch.ones(1)
    if digital:
        factors = torch.tensor([0.25, 0.5, 1.0])
        leak = float(factors.sum()) * G_MIN
        planes = tuple(G_MIN + bit * span for bit in bits)
    else:
        factors, leak = None, 3 * G_MIN
        planes = tuple(
            G_MIN + bit * span * f for bit, f in zip(bits, (0.25, 0.5, 1.0), strict=True)
        )
    correction = torch.full((1,), -0.875 * span - leak)
    if per_column:
        correction = correction.repeat(groups * columns)
        factors = None if factors is None else factors[:, None].repeat(1, groups * columns)
    return Cells(planes, None, gain / span, factors, correction)


def _ranges(total: int, most: int | None, step: int) -> list[tuple[int, int]]:
    if most is None or most >= total:
        return [(0, total)]
    most = most // step * step or most
    return [(first, min(most, total - first)) for first in range(0, total, most)]


def one_layer(
    op: str,
    weight: Tensor,
    geometry: Geometry,
    x_shape: Sequence[int | str],
    *,
    attributes: Mapping[str, Any] | None = None,
    bias: Tensor | None = None,
    dac: Dac | None = None,
    adc_bits: int | None = None,
    i_max_us: Sequence[float] | float | Tensor = 60.0,
    adc_signed: bool = True,
    device: Target | None = None,
    operand: int = 1,
    **options: Any,
) -> DeviceProgram:
    """Return a program of one operation that reads one layer."""
    draft = layer(weight, geometry, (), **options)
    tiles = len(draft.row_tiles)
    if not isinstance(i_max_us, Tensor):
        full = [i_max_us] * tiles if isinstance(i_max_us, float) else list(i_max_us)
        i_max_us = torch.tensor(full[:tiles]).reshape(-1, 1, 1)
    adc = Adc() if adc_bits is None else Adc(adc_bits, i_max_us, adc_signed)
    use = ProgramUse("read", operand, dac or Dac(), adc)
    inputs: list[str | None] = ["%x", "#w"] if operand == 1 else ["#w", "%x"]
    constants = {}
    if bias is not None:
        inputs.append("@bias")
        constants["bias"] = bias
    if device is None:
        device = (
            load_target("ideal") if draft.encoding == "signed" else target(encoding=draft.encoding)
        )
    return DeviceProgram(
        inputs=(Signal("x", "float32", tuple(x_shape)),),
        outputs=(Signal("y", "float32", None),),
        results=("%y",),
        operations=(Operation("read", op, tuple(inputs), attributes or {}, ("y",), "node"),),
        constants=constants,
        layers={"w": layer(weight, geometry, (use,), **options)},
        target=device.plain(),
        arrays=len(draft.tiles),
        provenance={},
    )
