"""The weights of a network under the names of its source, for the user's model to load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.fx import Node

from cimc.errors import ModelError
from cimc.ir import rewrite
from cimc.ir.folds import NOT_IN_SOURCE, Affine, Origin, Parameter, origin_of, parameters
from cimc.ir.network import Array, Network
from cimc.training.unfold import CannotUndoError, Unfolding, magnitude

#: Roundings of the coarsest element type on the way that a constant may differ by [-].
_ROUNDINGS = 8


@dataclass(frozen=True, slots=True)
class NotRepresentable:
    """A constant that the source model cannot be given the value of.

    Attributes:
        attribute: Name of the constant in the graph.
        parameters: Source parameters it is made of; empty: the source has nothing of the kind.
        reason: Why, in words.
        missing: Its value less what the source model computes with the weights handed back,
            float64, of its shape.
    """

    attribute: str
    parameters: tuple[str, ...]
    reason: str
    missing: npt.NDArray[np.float64]

    def __str__(self) -> str:
        largest = float(np.abs(self.missing).max(initial=0.0))
        count = int((self.missing != 0).sum())
        names = f" (of {', '.join(map(repr, self.parameters))})" if self.parameters else ""
        return (
            f"constant {self.attribute!r}{names}: {self.reason}; {count} of {self.missing.size} "
            f"values are off, by up to {largest:.3g}"
        )


@dataclass(frozen=True, slots=True)
class SourceWeights:
    """Weights by the names of the source.

    Attributes:
        weights: Name to value, of the source's shape and element type (float32 for bfloat16).
            Parameters that are not
            here are unchanged (statistics of a folded BatchNorm) or not used.
        not_representable: What loading them leaves out; empty: the source model computes the same
            function as the network.
    """

    weights: Mapping[str, Array]
    not_representable: tuple[NotRepresentable, ...] = ()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights as tensors, for ``module.load_state_dict(..., strict=False)``."""
        return {name: torch.from_numpy(value) for name, value in self.weights.items()}

    def require_complete(self) -> None:
        """Refuse weights with which the source model would compute something else.

        Raises:
            ModelError: CIMC-M92, a constant of the network has no place in the source model.
        """
        if self.not_representable:
            first, count = self.not_representable[0], len(self.not_representable)
            more = f" (and {count - 1} more)" if count > 1 else ""
            raise ModelError(
                "CIMC-M92",
                f"the source model cannot hold all of the network: {first}{more}",
                where=f"constant {first.attribute!r}",
                hint="adding a bias to the layer in the model, or using the device program",
            )


def source_weights(network: Network, *, latent: bool = False) -> SourceWeights:
    """Return the network's float parameters by the source's names.

    Loaded into the source model (a torch module in evaluation mode, the initializers of an ONNX
    file) they make it compute what the network's graph computes, but for what
    ``not_representable`` lists:

    * The weight of a convolution with a folded BatchNorm (or Mul) is divided by the scale; where
      that is 0 it is the source's. Statistics and gamma stay.
    * A change of its bias goes to the convolution's bias, where the source has one, else to beta
      (or the constant of a folded Add).
    * Reshaped, transposed, cut and joined weights (gates of an LSTM) are put back in order.
    * A correction after a product without bias goes to the constant of an addition that follows.

    Args:
        network: At any stage from ``CANONICAL`` on.
        latent: Hand back the float weights behind the quantized ones, where layers keep them,
            instead of what is on the chip.
    """
    tensors = {k: v.detach() for k, v in rewrite.attributes(network.graph).items()}
    if latent:
        tensors |= dict(_latent(network, tensors))
    corrections = dict(_absorbed(network, tensors))
    unfolding, missing = Unfolding(), []
    origins = dict(_origins(network, tensors))
    reasons: dict[str, str] = {}
    for attribute, origin in origins.items():
        if attribute not in corrections:
            reasons[attribute] = _put(unfolding, origin, tensors[attribute])
    for attribute, origin in origins.items():
        if attribute in corrections:
            continue
        off = _missing(unfolding, origin, tensors[attribute])
        if bool((off != 0).any()):
            names = tuple(dict.fromkeys(p.name for p in parameters(origin)))
            reason = reasons[attribute] or "it shares parameters with others"
            missing.append(NotRepresentable(attribute, names, reason, off.numpy()))
    return SourceWeights({k: _array(v) for k, v in unfolding.found.items()}, tuple(missing))


def _array(value: Tensor) -> Array:
    """Return a tensor as an array; bfloat16, which numpy has not, as float32."""
    value = value.float() if value.dtype == torch.bfloat16 else value
    array: Array = value.contiguous().numpy()
    return array


def _latent(network: Network, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the float weights of layers that keep them, by graph attribute."""
    for layer in network.layers.values():
        if layer.float_matrix is not None:
            shape = tuple(tensors[layer.weight].shape)
            yield layer.weight, layer.geometry.from_matrix(layer.float_matrix.detach(), shape)


def _origins(network: Network, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Origin]]:
    """Yield the floating-point constants to hand back, those on crossbars first."""
    analog = dict.fromkeys(layer.weight for layer in network.layers.values())
    for attribute in (*analog, *(k for k in tensors if k not in analog)):
        value = tensors[attribute]
        if not value.is_floating_point():
            continue
        origin = origin_of(attribute, network)
        if isinstance(origin, Parameter):
            origin = replace(origin, value=value)
        if origin is not None:
            yield attribute, origin
        elif attribute in analog or _changed(attribute, value, network):
            yield attribute, NOT_IN_SOURCE


def _changed(attribute: str, value: Tensor, network: Network) -> bool:
    """Tell whether a constant that is the compiler's own is another than before training."""
    if network.float_graph is None:
        return False
    before = rewrite.attributes(network.float_graph).get(attribute)
    return before is None or not torch.equal(before, value)


def _put(unfolding: Unfolding, origin: Origin, value: Tensor) -> str:
    """Put one constant back; return why that is not possible, as far as it is known."""
    unfolding.reasons.clear()
    if next(parameters(origin), None) is None:
        kind = "bias there" if isinstance(origin, Affine) else "parameter for it"
        return f"the source has no {kind}"
    try:
        unfolding.put(origin, value, torch.ones(value.shape, dtype=torch.bool))
    except CannotUndoError as error:
        return str(error)
    return "; ".join(dict.fromkeys(unfolding.reasons))


def _missing(unfolding: Unfolding, origin: Origin, value: Tensor) -> Tensor:
    """Return what a constant is more than the source gives with the weights gathered, float64.

    Differences that are roundings are 0.
    """
    try:
        got = unfolding.value(origin).double()
        size = magnitude(origin, unfolding.found)
    except CannotUndoError:
        return value.double()
    off = value.double() - got
    types = [p.dtype for p in parameters(origin)] + [value.dtype]
    coarsest = max(torch.finfo(t).eps for t in types)
    smallest = max(torch.finfo(t).tiny for t in types)
    bound = _ROUNDINGS * coarsest * (size + value.double().abs()) + smallest
    return torch.where(off.abs() <= bound, torch.zeros_like(off), off)


def _absorbed(network: Network, tensors: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Add corrections to the constant of the addition that follows, where one does.

    ``(product + correction) + bias`` is what a Linear layer over three axes becomes.

    Args:
        network: Its graph is looked at.
        tensors: Changed: the constants that take a correction.

    Yields:
        The correction and the constant that took it.
    """
    readers = Counter(str(n.target) for n in network.graph.graph.nodes if n.op == "get_attr")
    for node in network.graph.graph.nodes:
        gives = str(node.target)
        if node.op != "get_attr" or network.folds.get(gives) is not NOT_IN_SOURCE:
            continue
        into = _following(node)
        if into is None or len(into.users) != 1 or readers[str(into.target)] != 1:
            continue
        taken = str(into.target)
        both = tensors[taken].double() + tensors[gives].double()
        if origin_of(taken, network) is not None and both.shape == tensors[taken].shape:
            tensors[taken] = both.to(tensors[taken].dtype)
            yield gives, taken


def _following(correction: Node) -> Node | None:
    """Return the constant that is added right after a correction; None: none is."""
    node: Any = correction
    for _ in range(2):
        if len(node.users) != 1:
            return None
        (node,) = node.users
        if rewrite.operator_name(node) != "add":
            return None
    constants = [a for a in node.args if rewrite.is_constant(a)]
    return constants[0] if len(constants) == 1 else None
