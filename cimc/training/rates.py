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

from cimc.ir.layer import CrossbarLayer

#: Smallest unit of a column, relative to the root mean square of the whole weight [-].
_LEAST = 1e-2


def relative_groups(
    layers: Mapping[str, CrossbarLayer],
    weights: Mapping[str, Tensor],
    constants: Mapping[str, Tensor],
) -> list[dict[str, Any]]:
    """Return parameter groups whose steps are relative to the size of what they move.

    Args:
        layers: Crossbar layers.
        weights: Their latent weights by name of the graph's constant, as training starts.
        constants: The other parameters.

    Returns:
        Two groups, with ``units``: what each step of a parameter is multiplied by, broadcast to
        its shape.
    """
    ours = dict(_of_weights(layers, weights))
    trained = [name for name, value in weights.items() if value.requires_grad]
    return [
        {
            "params": [weights[name] for name in trained],
            "units": [ours[name] for name in trained],
            "lr_scale": 1.0,
        },
        {
            "params": list(constants.values()),
            "units": [unit_of_constant(value) for value in constants.values()],
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
def unit_of_constant(value: Tensor) -> Tensor:
    """Return the root mean square of a parameter, a scalar; 1 where it is all zero."""
    size = value.square().mean().sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))
