"""How far a step moves a parameter: for networks whose weights are of very different size.

Adam moves every weight by about the learning rate, whatever its size.  With BatchNorms folded in,
the output channels of one network have weights from 0.01 to 50: a rate that the small ones bear
never takes a large one to its next level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir.layer import CrossbarLayer
from cimc.ir.network import Network
from cimc.ir.rewrite import operator_name

#: Smallest unit of a column, relative to the root mean square of the whole weight [-].
_LEAST = 1e-2


def relative_groups(
    network: Network, weights: Mapping[str, Tensor], constants: Mapping[str, Tensor]
) -> list[dict[str, Any]]:
    """Return parameter groups whose steps are relative to the size of what they move.

    Args:
        network: With its crossbar layers.
        weights: Their latent weights by name of the graph's constant, as training starts.
        constants: The other parameters.

    Returns:
        Two groups, with ``units``: what each step of a parameter is multiplied by, broadcast to
        its shape.
    """
    ours = dict(_of_weights(network.layers, weights))
    outputs = units_of_biases(network, weights)
    trained = [name for name, value in weights.items() if value.requires_grad]
    return [
        {
            "params": [weights[name] for name in trained],
            "units": [ours[name] for name in trained],
            "lr_scale": 1.0,
        },
        {
            "params": list(constants.values()),
            "units": [_unit_of(v, outputs.get(n)) for n, v in constants.items()],
            "lr_scale": 1.0,
        },
    ]


def _of_weights(
    layers: Mapping[str, CrossbarLayer], weights: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    for layer in layers.values():
        yield layer.weight, unit_of_weight(layer, weights[layer.weight])


@torch.no_grad()
def unit_of_weight(layer: CrossbarLayer, weight: Tensor) -> Tensor:
    """Return the root mean square of each output column, of the shape of the weight."""
    matrix = layer.geometry.to_matrix(weight)
    columns = matrix.square().mean(1, keepdim=True).sqrt()
    least = _LEAST * matrix.square().mean().sqrt()
    units = torch.maximum(columns, least).expand_as(matrix)
    return layer.geometry.from_matrix(units, tuple(weight.shape))


@torch.no_grad()
def units_of_biases(network: Network, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the size of what each bias of a crossbar layer is added to, by the bias's name.

    One number for a whole bias would move some channels of a network with folded BatchNorms by
    many times their outputs: a channel's unit is at most the root mean square of its weighted sum,
    of inputs as calibration saw them, taken as uncorrelated.  Without calibration there are none.

    Args:
        network: With its crossbar layers.
        weights: Their latent weights by name of the graph's constant.

    Returns:
        Units of the shape of the bias, ``(groups * columns,)``.
    """
    nodes = {node.name: node for node in network.graph.graph.nodes}
    found = {}
    for layer in network.layers.values():
        for use in layer.uses:
            bias = bias_of(nodes[use.node])
            if bias is None or use.statistics is None or use.operand != 1:
                continue
            matrix = layer.geometry.to_matrix(weights[layer.weight])
            power = use.statistics.power.to(matrix)
            output = torch.einsum("gr,grc->gc", power, matrix.square()).flatten().sqrt()
            least = _LEAST * output.square().mean().sqrt()
            found[bias] = torch.where(least > 0, torch.maximum(output, least), 1.0)
    return found


def bias_of(node: Node) -> str | None:
    """Return the name of the constant that a node adds to each channel; None: it adds none."""
    if operator_name(node) not in ("conv", "gemm") or len(node.args) < 3:
        return None
    bias = node.args[2]
    return str(bias.target) if isinstance(bias, Node) and bias.op == "get_attr" else None


@torch.no_grad()
def _unit_of(value: Tensor, output: Tensor | None) -> Tensor:
    """Return the unit of a constant: its own size, at most that of what it is added to."""
    if output is None:
        return unit_of_constant(value)
    return torch.minimum(unit_of_constant(value), output) if bool(value.any()) else output


@torch.no_grad()
def unit_of_constant(value: Tensor) -> Tensor:
    """Return the root mean square of a parameter, a scalar; 1 where it is all zero."""
    size = value.square().mean().sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))
