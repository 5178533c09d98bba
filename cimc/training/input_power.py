"""How large the inputs of crossbar layers are, where no calibration has said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir.input_vectors import input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import CrossbarLayer, InputStatistics, Use
from cimc.ir.network import Network
from cimc.verification.batches import split, subset
from cimc.verification.data import Data

#: Samples run, samples at once, input vectors of a use taken from each run [-].
_SAMPLES: Final = 128
_BATCH: Final = 32
_VECTORS: Final = 256


@torch.no_grad()
def with_power(network: Network, data: Data) -> Network:
    """Return a network that knows the mean square of every layer's inputs.

    A program keeps no statistics of inputs, and relative learning rates are relative to them.
    Where there are some, the network is returned as it is.

    Args:
        network: With crossbar layers.
        data: Some of it is run.
    """
    uses: dict[str, list[tuple[CrossbarLayer, Use]]] = {}
    for layer in network.layers.values():
        for use in layer.uses:
            if use.statistics is None:
                uses.setdefault(use.node, []).append((layer, use))
    if not uses:
        return network
    sums: dict[tuple[str, int], Tensor] = {}
    largest: dict[tuple[str, int], float] = {}
    counts: dict[tuple[str, int], int] = {}

    def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
        for layer, use in uses.get(node.name, ()):
            key = use.node, use.operand
            x = input_vectors(node, use.operand, operands, value, layer.geometry, _VECTORS, 0)
            x = x.to(torch.float32)
            sums[key] = sums.get(key, torch.zeros(())) + x.double().square().sum(0)
            counts[key] = counts.get(key, 0) + len(x)
            largest[key] = max(largest.get(key, 0.0), float(x.abs().amax()) if x.numel() else 0.0)
        return value

    some = subset(data, _SAMPLES)
    for feed in split(some, network.inputs, batched=network.batched, batch=_BATCH):
        inputs = [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]
        interpret(network.float_graph or network.graph, inputs, observe)

    def known(use: Use) -> Use:
        key = use.node, use.operand
        if key not in sums:
            return use
        top, power = largest[key], (sums[key] / max(1, counts[key])).float()
        empty = np.zeros(1, np.int64)
        seen = InputStatistics(-top, top, 0.0, empty, power, None, some.samples)
        return replace(use, statistics=seen)

    layers = {
        name: replace(layer, uses=tuple(known(use) for use in layer.uses))
        for name, layer in network.layers.items()
    }
    return replace(network, layers=layers)
