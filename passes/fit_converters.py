"""Set the ranges of the converters around every crossbar layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.fx import Node

from cimc.device.converters import adc_codes, dac_codes, largest_code
from cimc.ir.input_vectors import input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import Adc, Cells, CrossbarLayer, Dac, InputStatistics, Use
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.verification.batches import split, subset

#: Full scales tried, as shares of the largest value seen.
_SHARES = tuple(np.geomspace(1.0, 0.1, 24))


@dataclass(frozen=True)
class FitConverters(Pass):
    """Choose DAC and ADC full scales.

    1. With calibration data, the DAC range minimizes the mean square error of the conversion over
       the histogram of the inputs; inputs that are never negative use unsigned codes.
    2. With data, the ADC range of each row tile minimizes the mean square error of the conversion
       of its bit-line currents on sampled input vectors, as the quantized network produces them.
    3. Without data, the DAC finds its range for each sample at run time, and the ADC range comes
       from the weights: inputs are taken to be half-normal with a scale of a third of the full
       range, all of one sign for the mean, and the range covers the mean and four standard
       deviations of the column that needs most.

    Attributes:
        samples: Most calibration samples run for the ADC ranges [-].
        vectors: Most input vectors a use and run [-].
    """

    name: ClassVar[str] = "fit-converters"
    needs: ClassVar[Stage] = Stage.ASSIGNED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    samples: int = 128
    vectors: int = 512

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the converter settings of every use."""
        dac_bits, adc_bits = context.target.read.dac_bits, context.target.adc.bits
        layers = {
            name: replace(layer, uses=tuple(_with_dac(use, dac_bits) for use in layer.uses))
            for name, layer in network.layers.items()
        }
        if adc_bits is None:
            return replace(network, layers=layers)
        if context.data is None:
            fitted = {name: _with_adc(layer, {}, adc_bits) for name, layer in layers.items()}
            return replace(network, layers=fitted)
        seen = self._currents(network, layers, context)
        fitted = {name: _with_adc(layer, seen, adc_bits) for name, layer in layers.items()}
        return replace(network, layers=fitted)

    def _currents(
        self, network: Network, layers: Mapping[str, CrossbarLayer], context: PassContext
    ) -> dict[tuple[str, int], Tensor]:
        """Return sampled input vectors of every use, in DAC full scales: ``(n, groups, rows)``."""
        assert context.data is not None
        uses = {
            (use.node, use.operand): (layer, use)
            for layer in layers.values()
            for use in layer.uses
        }
        by_node: dict[str, list[tuple[CrossbarLayer, Use]]] = {}
        for layer, use in uses.values():
            by_node.setdefault(use.node, []).append((layer, use))
        seen: dict[tuple[str, int], list[Tensor]] = {key: [] for key in uses}

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            for layer, use in by_node.get(node.name, ()):
                most = max(
                    1, min(self.vectors, 2**22 // (layer.geometry.groups * layer.geometry.rows))
                )
                x = input_vectors(
                    node, use.operand, operands, value, layer.geometry, most, context.seed
                )
                held = sum(map(len, seen[use.node, use.operand]))
                if held < 4 * most:
                    seen[use.node, use.operand].append(_converted(x.float(), use.dac))
            return value

        data = subset(context.data, self.samples)
        for feed in split(data, network.inputs, batched=network.batched, batch=context.batch):
            inputs = [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]
            interpret(network.graph, inputs, observe)
        return {key: torch.cat(parts) for key, parts in seen.items() if parts}


def _converted(x: Tensor, dac: Dac) -> Tensor:
    """Return input vectors as the DAC applies them, in full scales."""
    if dac.bits is None or dac.x_max is None:
        return x / x.abs().max().clamp(min=1e-30)
    q = largest_code(dac.bits, signed=dac.signed)
    return dac_codes(x.clone(), q / dac.x_max, dac.bits, signed=dac.signed) / q


def _with_dac(use: Use, bits: int | None) -> Use:
    statistics = use.statistics
    if bits is None:
        return replace(use, dac=Dac())
    if statistics is None or statistics.limit == 0.0:
        return replace(use, dac=Dac(bits, True, "dynamic", None))
    signed = statistics.x_min < 0
    return replace(use, dac=Dac(bits, signed, "static", best_range(statistics, bits, signed)))


def best_range(statistics: InputStatistics, bits: int, signed: bool) -> float:
    """Return the DAC full scale with the least mean square error over the histogram of ``|x|``."""
    bins = len(statistics.histogram)
    centers = (np.arange(bins) + 0.5) * statistics.limit / bins
    counts = statistics.histogram.astype(np.float64)
    top = max(abs(statistics.x_min), abs(statistics.x_max))
    q = largest_code(bits, signed=signed)

    def error(x_max: float) -> float:
        inside = centers <= x_max
        clipped = np.where(inside, 0.0, centers - x_max) ** 2
        rounding = np.where(inside, (x_max / q) ** 2 / 12, 0.0)
        return float((counts * (clipped + rounding)).sum())

    return float(min((top * share for share in _SHARES), key=error))


def _with_adc(
    layer: CrossbarLayer, seen: Mapping[tuple[str, int], Tensor], bits: int
) -> CrossbarLayer:
    assert layer.cells is not None
    assert layer.row_tiles is not None
    delta = conductance_difference(layer.cells, layer)
    uses = []
    for use in layer.uses:
        x = seen.get((use.node, use.operand))
        full = (
            _from_weights(delta, layer.row_tiles)
            if x is None or not len(x)
            else _from_currents(x, delta, layer.row_tiles, bits)
        )
        uses.append(replace(use, adc=Adc(bits, full.reshape(-1, 1, 1))))
    return replace(layer, uses=tuple(uses))


def conductance_difference(cells: Cells, layer: CrossbarLayer) -> Tensor:
    """Return what a bit line sees of each weight, float32 ``(groups, rows, columns)`` [uS]."""
    planes = [
        p if cells.states_us is None else cells.states_us[p.to(torch.int64)] for p in cells.planes
    ]
    if len(planes) == 1:
        return planes[0]
    if layer.encoding == "offset-column":
        return planes[0] - planes[1][:, :, :1]
    return planes[0] - planes[1]


def _from_weights(delta: Tensor, row_tiles: npt.NDArray[np.int32]) -> Tensor:
    mean, power = math.sqrt(2 / math.pi) / 3, 1 / 9
    full = []
    for first, size in row_tiles.tolist():
        tile = delta[:, first : first + size]
        spread = 4 * (power * tile.square().sum(1)).sqrt()
        need = mean * tile.sum(1).abs() + spread
        full.append(torch.minimum(need, tile.abs().sum(1)).max() if tile.numel() else tile.sum())
    return _positive(torch.stack(full))


def _from_currents(
    x: Tensor, delta: Tensor, row_tiles: npt.NDArray[np.int32], bits: int
) -> Tensor:
    q = largest_code(bits)
    full = []
    for first, size in row_tiles.tolist():
        rows = slice(first, first + size)
        current = torch.einsum("ngr,grc->ngc", x[:, :, rows], delta[:, rows])
        top = float(current.abs().max()) if current.numel() else 0.0
        if top == 0.0:
            full.append(torch.tensor(0.0))
            continue
        errors = []
        for share in _SHARES:
            lsb = top * share / q
            codes = adc_codes(current.clone(), 1 / lsb, bits)
            errors.append(float((codes.mul_(lsb) - current).square().mean()))
        full.append(torch.tensor(top * _SHARES[int(np.argmin(errors))]))
    return _positive(torch.stack(full))


def _positive(full: Tensor) -> Tensor:
    """Return full scales, 1 uS where a tile never carries current: any range is right there."""
    return torch.where(full > 0, full, torch.ones_like(full)).to(torch.float32)
