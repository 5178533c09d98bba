"""The float network: what a network in training is taught by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from cimc.ir import rewrite
from cimc.ir.network import Array, Network
from cimc.ops.arrays import is_small_float, to_tensor
from cimc.training.settings import Teacher
from cimc.training.teacher import LAYER

if TYPE_CHECKING:
    from cimc.training.trainable import TrainableNetwork


def teacher_of(network: Network, trainable: TrainableNetwork, *, taps: bool) -> Teacher:
    """Return the float network as a function of arrays.

    Args:
        network: Names of inputs and outputs.
        trainable: Knows the float network.
        taps: Give what its layers compute too.
    """

    def teacher(feed: Mapping[str, Array]) -> dict[str, Array]:
        inputs = [to_tensor(feed[s.name]) for s in network.inputs]
        outputs, layers = trainable.teacher(inputs, taps=taps)
        said = {s.name: v for s, v in zip(network.outputs, outputs, strict=True)}
        said.update({LAYER + name: value for name, value in layers.items()})
        return {n: _array(value) for n, value in said.items() if isinstance(value, Tensor)}

    return teacher


def with_reference(network: Network) -> Network:
    """Return a network with the float graph of the weights and constants it keeps, if it has none.

    Weights without a float version stay as they are.
    """
    if network.float_graph is not None:
        return network
    graph, tensors = rewrite.copy(network.graph)
    for name, value in network.float_constants.items():
        if name in tensors:
            tensors[name] = value
    for layer in network.layers.values():
        if layer.float_matrix is not None:
            shape = tuple(tensors[layer.weight].shape)
            weight = layer.geometry.from_matrix(layer.float_matrix, shape)
            tensors[layer.weight] = weight.contiguous()
    return replace(network, float_graph=rewrite.build(graph, tensors))


def _array(value: Tensor) -> Array:
    """Return a tensor as an array; those of types that numpy has not as float32."""
    return (value.float() if is_small_float(str(value.dtype)[6:]) else value).numpy()
