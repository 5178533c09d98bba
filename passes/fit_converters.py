"""Set the ranges of the converters around every crossbar layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from cimc.errors import UsageError
from cimc.ir import rewrite
from cimc.ir.input_vectors import input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.quantizers.periphery.currents import Drive
from cimc.quantizers.periphery.fit import METHODS, Method, Periphery, fit
from cimc.quantizers.periphery.lanes import lanes_of
from cimc.quantizers.periphery.search import Task
from cimc.quantizers.periphery.sharing import converter_groups
from cimc.targets import Target
from cimc.targets.lanes import lane_count
from cimc.verification.batches import split, subset

#: Sampled inputs of all layers together [-]; products and conversions of one layer.
_HELD, _PRODUCTS, _CONVERSIONS = 2**25, 2**28, 2**19
_FEWEST = 64

#: Use, by node and operand.
Key = tuple[str, int]


@dataclass(frozen=True)
class FitConverters(Pass):
    """Choose DAC and ADC full scales.

    1. With calibration data a range is ``max``: the largest magnitude; ``percentile``: that share
       of the values lies within; ``mse``: the least mean square error of each conversion;
       ``search``: the least error of the layer's output, DAC and ADC together, against that of
       float arithmetic.  DACs see the float network's inputs (searched ones too, to begin with),
       ADCs and searches sampled inputs of the quantized network, errors upstream included.
    2. Inputs that are never negative use unsigned codes, and so do currents.
    3. Without data, the DAC finds its range for each sample at run time, and the ADC range comes
       from the weights, see :mod:`cimc.quantizers.periphery.prior`.
    4. What shares one ADC range is the target's choice (``adc.range``); ``full-scale`` is the
       largest current that inputs in the DAC's range can cause, whatever the method.

    Attributes:
        input_method: For DACs: ``max``, ``percentile``, ``mse`` or ``search``.
        adc_method: For ADCs, likewise.
        percentile: Of the method of that name [%].
        samples: Most calibration samples run for the ADC ranges [-].
        vectors: Most input vectors a use [-].

    Raises:
        UsageError: CIMC-U41, there is no such method, or the percentile is not one.
    """

    name: ClassVar[str] = "fit-converters"
    needs: ClassVar[Stage] = Stage.ASSIGNED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    input_method: str = "search"
    adc_method: str = "search"
    percentile: float = 99.99
    samples: int = 256
    vectors: int = 1024

    def __post_init__(self) -> None:
        for key in ("input_method", "adc_method"):
            value = getattr(self, key)
            if value not in METHODS:
                raise UsageError(
                    "CIMC-U41",
                    f"{self.name}.{key}: there is no method {value!r}",
                    hint="one of " + ", ".join(METHODS),
                )
        if not 0 < self.percentile <= 100:
            raise UsageError(
                "CIMC-U41",
                f"{self.name}.percentile must be above 0 and at most 100 (got {self.percentile})",
                hint="99.9",
            )

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the converter settings of every use."""
        target = context.target
        if target.read.dac_bits is None and target.adc.bits is None:
            return network
        method = Method(self.input_method, self.adc_method, self.percentile)
        tensors = rewrite.attributes(network.graph)
        samples = {} if context.data is None else self._sample(network, context)
        layers = {}
        for done, (name, layer) in enumerate(network.layers.items(), 1):
            around = periphery_of(layer, target)
            uses = []
            for use in layer.uses:
                x = samples.pop((use.node, use.operand), None)
                task = None
                if x is not None:
                    task = Task(x, layer.geometry.to_matrix(tensors[layer.weight].detach()))
                uses.append(fit(use, around, task, method))
            layers[name] = replace(layer, uses=tuple(uses))
            context.progress(self.name, done / len(network.layers))
        return replace(network, layers=layers)

    def _sample(self, network: Network, context: PassContext) -> dict[Key, Tensor]:
        """Return input vectors of every use in the quantized network, ``(n, groups, rows)``."""
        assert context.data is not None
        uses: dict[str, list[tuple[CrossbarLayer, Use]]] = {}
        for layer in network.layers.values():
            for use in layer.uses:
                uses.setdefault(use.node, []).append((layer, use))
        data = subset(context.data, self.samples)
        feeds = split(data, network.inputs, batched=network.batched, batch=context.batch)
        counts = self._counts(network, context.target, len(feeds))
        parts: dict[Key, list[Tensor]] = {}
        for number, feed in enumerate(feeds):
            inputs = [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]
            seed = context.seed + number

            def observe(
                node: Node, operands: tuple[Any, ...], value: Any, seed: int = seed
            ) -> Any:
                for layer, use in uses.get(node.name, ()):
                    geometry, most = layer.geometry, counts[layer.name]
                    x = input_vectors(node, use.operand, operands, value, geometry, most, seed)
                    held = parts.setdefault((use.node, use.operand), [])
                    held.append(x.to(torch.float32, copy=True))
                return value

            interpret(network.graph, inputs, observe)
        return {key: torch.cat(held) for key, held in parts.items()}

    def _counts(self, network: Network, target: Target, feeds: int) -> dict[str, int]:
        """Return how many input vectors of each layer to take from each run."""
        uses = sum(len(layer.uses) for layer in network.layers.values())
        reads = lane_count(target) * len(drive_of(target).pulses.weights)
        counts = {}
        for name, layer in network.layers.items():
            groups, rows, columns = layer.geometry.shape
            tiles = 1 if layer.row_tiles is None else len(layer.row_tiles)
            most = min(
                self.vectors,
                _HELD // (uses * groups * rows),
                _PRODUCTS // (groups * rows * columns * reads),
                _CONVERSIONS // (tiles * groups * columns * reads),
            )
            counts[name] = -(-max(most, _FEWEST) // feeds)
        return counts


def drive_of(target: Target) -> Drive:
    """Return how inputs that may be negative are applied."""
    read = target.read
    return Drive(read.dac_bits, True, read.drive, read.signed_inputs)


def periphery_of(layer: CrossbarLayer, target: Target) -> Periphery:
    """Return the converters around a layer on a target."""
    assert layer.cells is not None
    assert layer.row_tiles is not None
    assert layer.tiles is not None
    after = target.pair.subtraction == "after-adc"
    lanes = lanes_of(layer, subtracted_after=after)
    assert len(lanes) == lane_count(target)
    row_tiles = tuple((int(first), int(rows)) for first, rows in layer.row_tiles)
    groups, _, columns = layer.geometry.shape
    adjacent = target.pair.placement == "adjacent-columns"
    pair = layer.encoding == "differential-pair" and adjacent
    return Periphery(
        lanes=lanes,
        bit_lines_only=len(lanes) > 1 or layer.encoding == "bit-sliced",
        row_tiles=row_tiles,
        gain=layer.cells.gain.float().expand(groups * columns),
        groups=converter_groups(
            target.adc.range,
            (len(row_tiles), len(lanes), groups * columns),
            layer.tiles,
            columns_per_adc=target.adc.columns_per_adc,
            bit_lines=2 if pair else 1,
            adjacent=adjacent,
        ),
        policy=target.adc.range,
        drive=drive_of(target),
        adc_bits=target.adc.bits,
    )
