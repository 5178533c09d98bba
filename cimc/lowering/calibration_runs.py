"""Calibration inputs as runs of a network, and what the inputs of a layer in them are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir.input_vectors import channel_axis, input_vectors
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network
from cimc.ir.paired_walk import live_bytes
from cimc.quantizers.curvature import Curvature
from cimc.verification.batches import split, subset
from cimc.verification.data import Data


@dataclass(frozen=True, slots=True)
class Place:
    """A node that reads a layer, and what it read.

    Attributes:
        node: In the graph.
        operands: One tuple a run.
        results: One a run.
        floats: Operands in the float network; empty: nothing is known of it.
    """

    node: Node
    operands: Sequence[tuple[Any, ...]]
    results: Sequence[Any]
    floats: Sequence[tuple[Any, ...]] = ()


def runs_of(
    network: Network, data: Data, samples: int, mebibytes: int, batch: int
) -> list[list[Tensor]]:
    """Return the inputs of each run, of as many samples as memory allows.

    Args:
        network: Whose inputs.
        data: Calibration inputs.
        samples: Most samples [-].
        mebibytes: Memory for the activations of all samples at once, in two networks [MiB].
        batch: Samples a run [-].
    """

    def tensors(feed: Mapping[str, Any]) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]

    one = split(subset(data, 1), network.inputs, batched=network.batched, batch=1)
    per_sample = max(1, live_bytes(network.graph, tensors(one[0])))
    most = max(1, mebibytes * 2**20 // (2 * per_sample))
    chosen = subset(data, min(samples, most, data.samples))
    feeds = split(chosen, network.inputs, batched=network.batched, batch=batch)
    return [tensors(feed) for feed in feeds]


def curvature_of(
    layer: CrossbarLayer, use: Use, place: Place, vectors: int, seed: int, *, centered: bool
) -> Curvature:
    """Return how the inputs of a layer vary, in one of its uses.

    Args:
        layer: Read there.
        use: The use.
        place: What was read.
        vectors: Most input vectors of all runs [-].
        seed: Of the choice of vectors.
        centered: Around their mean, where the output has channels whose mean can be corrected.
    """
    most = max(1, vectors // len(place.operands))
    node, geometry = place.node, layer.geometry
    found = Curvature(geometry.groups, geometry.rows)
    for number, (operands, value) in enumerate(zip(place.operands, place.results, strict=True)):
        draw = seed + number
        x = input_vectors(node, use.operand, operands, value, geometry, most, draw)
        wanted = None
        if place.floats:  # the same places of the float network's inputs
            before = place.floats[number]
            wanted = input_vectors(node, use.operand, before, value, geometry, most, draw).float()
        found.add(x.float(), wanted)
    found.centered = centered and channel_axis(node, use.operand) is not None
    return found
