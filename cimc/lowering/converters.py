"""The full scales of the converters around every layer of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.input_vectors import input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import TILE_FIELDS, CrossbarLayer, Use
from cimc.ir.network import Network
from cimc.quantizers.periphery.currents import Drive
from cimc.quantizers.periphery.fit import Method, Periphery, fit
from cimc.quantizers.periphery.lanes import lanes_of
from cimc.quantizers.periphery.search import Task
from cimc.quantizers.periphery.sharing import converter_groups
from cimc.quantizers.threads import side_by_side
from cimc.targets import Target
from cimc.targets.lanes import lane_count
from cimc.verification.batches import split, subset
from cimc.verification.data import Data

#: Sampled inputs of all layers together [-]; products and conversions of one layer.
_HELD, _PRODUCTS, _CONVERSIONS = 2**25, 2**28, 2**19
_FEWEST = 64

#: Use, by node and operand.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sampling:
    """What converter ranges are fitted to.

    Attributes:
        data: Calibration inputs; None: ranges come from the weights.
        samples: Most samples run [-].
        vectors: Most input vectors a use [-].
        batch: Samples run at once [-].
        seed: Of the choice of vectors.
    """

    data: Data | None
    samples: int = 256
    vectors: int = 1024
    batch: int = 32
    seed: int = 0


def fit_converters(
    network: Network,
    target: Target,
    method: Method,
    sampling: Sampling,
    progress: Callable[[float], None] = lambda share: None,
) -> Network:
    """Return the network with the converter settings of every use.

    Args:
        network: With cells.
        target: The device.
        method: How full scales are chosen.
        sampling: What they are fitted to.
        progress: Told the share done.
    """
    if target.read.dac_bits is None and target.adc.bits is None:
        return network
    tensors = rewrite.attributes(network.graph)
    samples = {} if sampling.data is None else _sample(network, target, sampling, sampling.data)
    layers = {}

    def fitted(layer: CrossbarLayer) -> CrossbarLayer:
        around = periphery_of(layer, target)
        uses = []
        for use in layer.uses:
            x = samples.pop((use.node, use.operand), None)
            task = None
            if x is not None:
                task = Task(x, layer.geometry.to_matrix(tensors[layer.weight].detach()))
            uses.append(fit(use, around, task, method))
        return replace(layer, uses=tuple(uses))

    for layer in side_by_side(fitted, network.layers.values()):
        layers[layer.name] = layer
        progress(len(layers) / len(network.layers))
    return replace(network, layers=layers)


def _sample(
    network: Network, target: Target, sampling: Sampling, calibration: Data
) -> dict[Key, Tensor]:
    """Return input vectors of every use in the quantized network, ``(n, groups, rows)``."""
    uses: dict[str, list[tuple[CrossbarLayer, Use]]] = {}
    for layer in network.layers.values():
        for use in layer.uses:
            uses.setdefault(use.node, []).append((layer, use))
    data = subset(calibration, sampling.samples)
    feeds = split(data, network.inputs, batched=network.batched, batch=sampling.batch)
    counts = _counts(network, target, sampling.vectors, len(feeds))
    parts: dict[Key, list[Tensor]] = {}
    for number, feed in enumerate(feeds):
        inputs = [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]
        seed = sampling.seed + number

        def observe(node: Node, operands: tuple[Any, ...], value: Any, seed: int = seed) -> Any:
            for layer, use in uses.get(node.name, ()):
                geometry, most = layer.geometry, counts[layer.name]
                x = input_vectors(node, use.operand, operands, value, geometry, most, seed)
                held = parts.setdefault((use.node, use.operand), [])
                held.append(x.to(torch.float32, copy=True))
            return value

        interpret(network.graph, inputs, observe)
    return {key: torch.cat(held) for key, held in parts.items()}


def _counts(network: Network, target: Target, vectors: int, feeds: int) -> dict[str, int]:
    """Return how many input vectors of each layer to take from each run."""
    uses = sum(len(layer.uses) for layer in network.layers.values())
    reads = lane_count(target) * len(drive_of(target).pulses.weights)
    counts = {}
    for name, layer in network.layers.items():
        groups, rows, columns = layer.geometry.shape
        tiles = 1 if layer.row_tiles is None else len(layer.row_tiles)
        most = min(
            vectors,
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
            places=_places(layer),
        ),
        policy=target.adc.range,
        drive=drive_of(target),
        adc_bits=target.adc.bits,
    )


def _places(layer: CrossbarLayer) -> list[npt.NDArray[np.int32]] | None:
    """Return the first bit line of every column of each tile; None where they are in order."""
    if layer.bit_lines is None or layer.tiles is None:
        return None
    extra = 0 if layer.layout is None else layer.layout.extra
    count = layer.tiles[:, TILE_FIELDS.index("columns")] + extra
    return np.split(layer.bit_lines, np.cumsum(count)[:-1])
