"""Rules of the crossbar layers: geometry, cells, gains and converters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ir.layer import TILE_FIELDS
from cimc.program import files
from cimc.program.check_reads import check_reads
from cimc.program.container import CHUNK
from cimc.program.model import DeviceProgram, ProgramLayer, ProgramUse
from cimc.targets import Target
from cimc.targets.lanes import lane_count

#: Tolerance of a conductance against the limits of the cell [-]: float32 arithmetic.
_SLACK: Final = 1e-4
_MAX_DAC_BITS: Final = 16
_MAX_ADC_BITS: Final = 24
#: Largest magnitude of a scale; beyond it float32 products overflow.
_LARGEST: Final = 1e30

Ranges = Mapping[str, tuple[float, float]]


def check_crossbars(program: DeviceProgram, target: Target, ranges: Ranges) -> None:
    """Apply every rule of this module.

    Raises:
        ProgramError: ``CIMC-P18``, ``CIMC-P19``, ``CIMC-P22``.
    """
    for name, layer in program.layers.items():
        where = f"layer '{name[:80]}'"
        if name != layer.name:
            raise ProgramError("CIMC-P18", f"is called {layer.name[:80]!r} inside", where=where)
        _check_geometry(layer, where)
        _check_encoding(layer, target, where)
        _check_cells(layer, target, ranges, where)
        _check_gain(layer, where)
        _check_slices(layer, target, where)
        for use in layer.uses:
            _check_dac(use, where)
            _check_adc(use, layer, lane_count(target), where)
    check_reads(program)


def _check_geometry(layer: ProgramLayer, where: str) -> None:
    """The matrices are not empty and agree with the kernel."""
    g = layer.geometry
    divided = {"conv": g.rows, "conv-transpose": g.columns}.get(g.kind)
    taps = math.prod(g.kernel)
    if min(g.groups, g.rows, g.columns) < 1 or any(k < 1 for k in g.kernel):
        raise ProgramError("CIMC-P18", f"empty geometry {g.shape}", where=where)
    if divided is None and g.kernel:
        raise ProgramError("CIMC-P18", f"{g.kind} has no kernel (got {g.kernel})", where=where)
    if divided is not None and divided % taps:
        raise ProgramError("CIMC-P18", f"{divided} is no multiple of {taps} taps", where=where)
    if g.kind in ("matrix", "matrix-left") and math.prod(g.stack) != g.groups:
        raise ProgramError("CIMC-P18", f"a stack {g.stack} of {g.groups} matrices", where=where)


def _check_encoding(layer: ProgramLayer, target: Target, where: str) -> None:
    """The encoding is the target's, with its number of planes of the right shape."""
    if layer.encoding != target.encoding:
        raise ProgramError(
            "CIMC-P18",
            f"encoding {layer.encoding}, the target has {target.encoding}",
            where=where,
        )
    planes = layer.cells.planes
    if len(planes) != _planes(target):
        raise ProgramError("CIMC-P18", f"{len(planes)} planes for {layer.encoding}", where=where)
    groups, rows, columns = layer.geometry.shape
    for k, plane in enumerate(planes):
        width = columns
        if layer.encoding == "offset-column" and k == 1:
            width = len(set(layer.tiles[:, TILE_FIELDS.index("column")].tolist()))
        if tuple(plane.shape) != (groups, rows, width):
            raise ProgramError(
                "CIMC-P19",
                f"plane {k} is {list(plane.shape)}, not {[groups, rows, width]}",
                where=where,
            )


def _planes(target: Target) -> int:
    if target.encoding == "bit-sliced" and target.slices is not None:
        return target.slices.count
    return 1 if target.encoding == "signed" else 2


def _check_slices(layer: ProgramLayer, target: Target, where: str) -> None:
    """Slices have finite multipliers, when they are digital, and a correction; others neither."""
    multipliers, correction = layer.cells.multipliers, layer.cells.correction_us
    sliced = layer.encoding == "bit-sliced"
    digital = sliced and target.slices is not None and target.slices.multipliers == "digital"
    if (correction is not None) != sliced or (multipliers is not None) != digital:
        raise ProgramError(
            "CIMC-P22", "multipliers and corrections do not belong to the encoding", where=where
        )
    columns = layer.geometry.groups * layer.geometry.columns
    slices = len(layer.cells.planes)
    for what, values, shapes in (
        ("correction", correction, [(1,), (columns,)]),
        ("multipliers", multipliers, [(slices,), (slices, columns)]),
    ):
        if values is None:
            continue
        if values.dtype != torch.float32 or tuple(values.shape) not in shapes:
            raise ProgramError(
                "CIMC-P22",
                f"{what} {values.dtype} {list(values.shape)}, not float32 {list(shapes[0])} or "
                f"{list(shapes[1])}",
                where=where,
            )
        if not bool((values.abs() < _LARGEST).all()):
            raise ProgramError("CIMC-P22", f"a number of {what} is not finite", where=where)


def _check_cells(layer: ProgramLayer, target: Target, ranges: Ranges, where: str) -> None:
    """Every cell has a state of the table, or a conductance, within the limits of the device."""
    states = layer.cells.states_us
    groups, _, columns = layer.geometry.shape
    if (
        states is not None
        and states.dim() == 2
        and (layer.encoding == "offset-column" or len(states) != groups * columns)
    ):
        raise ProgramError(
            "CIMC-P19", f"states {list(states.shape)} of {groups * columns} columns", where=where
        )
    for k, plane in enumerate(layer.cells.planes):
        if states is None:
            known = ranges.get(files.plane(layer.name, k))
            low, high = known or float_range(plane)
            _check_conductances(low, high, layer, target, f"{where}, plane {k}")
        elif int(plane.max()) >= states.shape[-1]:
            raise ProgramError(
                "CIMC-P19",
                f"state {int(plane.max())} of plane {k}, there are {states.shape[-1]}",
                where=where,
            )
    if states is not None:
        low, high = float_range(states)
        _check_conductances(low, high, layer, target, f"{where}, states")


def _check_conductances(
    low: float, high: float, layer: ProgramLayer, target: Target, where: str
) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ProgramError("CIMC-P19", "a value is not finite", where=where)
    if layer.encoding == "signed":
        return
    g_min, g_max = target.cell.g_min_us, target.cell.g_max_us
    slack = _SLACK * g_max
    if low < g_min - slack or high > g_max + slack:
        raise ProgramError(
            "CIMC-P19",
            f"conductances {low:.6g} to {high:.6g} uS, the cell has {g_min:.6g} to {g_max:.6g}",
            where=where,
        )


def float_range(tensor: Tensor) -> tuple[float, float]:
    """Return the least and the greatest value of a float tensor, a block at a time; NaN if any."""
    if tensor.numel() == 0:
        return math.nan, math.nan
    if tensor.numel() <= CHUNK or tensor.dim() == 1:
        return float(tensor.min()), float(tensor.max())
    parts = [float_range(part) for part in tensor]
    values = torch.tensor(parts, dtype=torch.float64)
    return float(values[:, 0].min()), float(values[:, 1].max())


def _check_gain(layer: ProgramLayer, where: str) -> None:
    """There is one finite gain, or one a column."""
    gain = layer.cells.gain
    groups, _, columns = layer.geometry.shape
    if gain.dtype != torch.float32 or gain.dim() != 1 or len(gain) not in (1, groups * columns):
        raise ProgramError(
            "CIMC-P22",
            f"gain is {gain.dtype} {list(gain.shape)}, not float32 [1] or [{groups * columns}]",
            where=where,
        )
    if not bool((gain.abs() < _LARGEST).all()):
        raise ProgramError("CIMC-P22", "a gain is not finite", where=where)


def _check_dac(use: ProgramUse, where: str) -> None:
    """The DAC has a resolution and a range that make sense together."""
    dac, where = use.dac, f"{where} in '{use.operation[:80]}'"
    low = 2 if dac.signed else 1
    if dac.bits is not None and not low <= dac.bits <= _MAX_DAC_BITS:
        raise ProgramError(
            "CIMC-P22", f"DAC of {dac.bits} bits, not {low} to {_MAX_DAC_BITS}", where=where
        )
    if dac.x_max is not None and not 0 < dac.x_max < _LARGEST:
        raise ProgramError("CIMC-P22", f"DAC full scale {dac.x_max}", where=where)
    if dac.bits is not None and (dac.policy == "static") != (dac.x_max is not None):
        raise ProgramError(
            "CIMC-P22", f"a {dac.policy} DAC with full scale {dac.x_max}", where=where
        )


def _check_adc(use: ProgramUse, layer: ProgramLayer, lanes: int, where: str) -> None:
    """The ADC has a resolution and positive ranges a row tile, lane and column, or neither."""
    adc, where = use.adc, f"{where} in '{use.operation[:80]}'"
    if (adc.bits is None) != (adc.i_max_us is None):
        raise ProgramError("CIMC-P22", "an ADC has both a resolution and ranges", where=where)
    if adc.bits is None or adc.i_max_us is None:
        return
    low = 2 if adc.signed else 1
    if not low <= adc.bits <= _MAX_ADC_BITS:
        raise ProgramError(
            "CIMC-P22", f"ADC of {adc.bits} bits, not {low} to {_MAX_ADC_BITS}", where=where
        )
    full, tiles = adc.i_max_us, len(layer.row_tiles)
    groups, _, columns = layer.geometry.shape
    shapes = [(tiles, lanes, 1), (tiles, lanes, groups * columns)]
    if full.dtype != torch.float32 or tuple(full.shape) not in shapes:
        raise ProgramError(
            "CIMC-P22",
            f"ADC ranges {full.dtype} {list(full.shape)}, not float32 {list(shapes[0])} or "
            f"{list(shapes[1])}",
            where=where,
        )
    if not bool(((full > 0) & (full < _LARGEST)).all()):
        raise ProgramError("CIMC-P22", "an ADC full scale is not positive", where=where)
