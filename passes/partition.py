"""Decide which weights stay on crossbars and make a record of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from cimc.errors import ModelError, UsageError
from cimc.ir import rewrite
from cimc.ir.geometry import Geometry
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network, Stage
from cimc.ops.table import OPERATORS
from cimc.passbase import Pass, PassContext

#: Weights looked at together: bounds the memory of the look.
_CHUNK = 2**24


@dataclass(frozen=True)
class Partition(Pass):
    """Put every weight-stationary product on crossbars, the rest stays digital.

    1. Conv, ConvTranspose, Gemm and MatMul with a constant weight, and the input and recurrent
       weights of LSTM, GRU and RNN become crossbar layers; float32 only, other element types stay
       digital and are named in a warning.
    2. A weight read by several nodes in one orientation is one layer with several uses.
    3. A pattern (shell wildcards) is matched against the weight's source name, the layer's name
       and the source node's name.  ``digital`` takes layers off the crossbars; ``analog``
       overrides it.
    4. A weight without elements stays digital: there is nothing to program.

    Attributes:
        digital: Patterns of layers pinned digital.
        analog: Patterns of layers pinned analog.

    Raises:
        UsageError: CIMC-U40, a pattern matches nothing.
        ModelError: CIMC-M50, a layer pinned analog cannot be (its element type); CIMC-M51, a
            weight on crossbars holds NaN or infinity.
    """

    name: ClassVar[str] = "partition"
    needs: ClassVar[Stage] = Stage.CANONICAL
    gives: ClassVar[Stage] = Stage.PARTITIONED

    digital: tuple[str, ...] = ()
    analog: tuple[str, ...] = ()

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with its crossbar layers (all weights still float)."""
        tensors = rewrite.attributes(network.graph)
        layers: dict[tuple[str, Geometry], CrossbarLayer] = {}
        warnings: list[str] = []
        unmatched = {*self.digital, *self.analog}
        for node, operand, geometry in _candidates(network.graph.graph, tensors):
            attribute = str(node.args[operand].target)  # type: ignore[union-attr]
            names = _names_of(node, attribute, network)
            pinned_analog = _matches(names, self.analog, unmatched)
            pinned_digital = _matches(names, self.digital, unmatched)
            weight = tensors[attribute]
            if weight.dtype != torch.float32:
                where = f"{names[-1]}, weight '{names[0]}' is {weight.dtype}".replace("torch.", "")
                if pinned_analog:
                    raise ModelError(
                        "CIMC-M50",
                        "a layer pinned analog has weights that are not float32",
                        where=f"node {where}",
                        hint="exporting the model in float32, or leaving the layer digital",
                    )
                warnings.append(f"stays digital, only float32 weights go to crossbars: {where}")
                continue
            if pinned_digital and not pinned_analog:
                continue
            _require_finite(weight, names)
            key = (attribute, geometry)
            use = Use(node.name, operand)
            if key in layers:
                layers[key] = replace(layers[key], uses=(*layers[key].uses, use))
            else:
                taken = [layer.name for layer in layers.values()]
                name = rewrite.unique_name(names[0], taken)
                layers[key] = CrossbarLayer(name, attribute, geometry, (use,))
        if unmatched:
            raise UsageError(
                "CIMC-U40",
                f"no layer matches the pattern {sorted(unmatched)[0]!r}",
                hint=f"one of: {_some(network, tensors)}",
            )
        records = {layer.name: layer for layer in layers.values()}
        done = replace(network, layers=records, stage=Stage.PARTITIONED)
        return done.warn(*warnings)


def _names_of(node: Node, attribute: str, network: Network) -> tuple[str, str, str]:
    """Return the names a pattern may match: source parameter, layer, source node."""
    source = network.parameter_names.get(attribute, attribute)
    return source, rewrite.unique_name(source, ()), str(node.meta.get("source", node.name))


def _matches(names: tuple[str, ...], patterns: tuple[str, ...], unmatched: set[str]) -> bool:
    hits = {p for p in patterns for n in names if fnmatchcase(n, p)}
    unmatched -= hits
    return bool(hits)


def _some(network: Network, tensors: dict[str, Tensor]) -> str:
    names = [
        network.parameter_names.get(key, key)
        for node, operand, _ in _candidates(network.graph.graph, tensors)
        if (key := str(node.args[operand].target))  # type: ignore[union-attr]
    ]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "(none)"


def _require_finite(weight: Tensor, names: tuple[str, ...]) -> None:
    flat = weight.reshape(-1)
    starts = range(0, flat.numel(), _CHUNK)
    bad = sum(int((~torch.isfinite(flat[s : s + _CHUNK])).sum()) for s in starts)
    if bad:
        raise ModelError(
            "CIMC-M51",
            f"weight '{names[0]}' holds {bad} values that are NaN or infinite",
            where=f"node {names[-1]}",
            hint="a model whose weights are finite; a cell has no conductance for NaN",
        )


def _candidates(
    graph: torch.fx.Graph, tensors: dict[str, Tensor]
) -> Iterator[tuple[Node, int, Geometry]]:
    """Yield node, operand position and geometry of every product with a constant weight."""
    for node in graph.nodes:
        name = rewrite.operator_name(node)
        for operand in OPERATORS[name].weights if name else ():
            if operand >= len(node.args) or not rewrite.is_constant(node.args[operand]):
                continue
            weight = tensors[str(node.args[operand].target)]
            if not weight.is_floating_point() or weight.numel() == 0:
                continue
            geometry = geometry_of(name, operand, weight.shape, node.kwargs)
            if geometry is not None:
                yield node, operand, geometry
                if name == "matmul":
                    break


def geometry_of(
    name: str, operand: int, shape: torch.Size, attributes: dict[str, object]
) -> Geometry | None:
    """Return how an operator's weight lies on crossbars; None when it has no matrix form."""
    if name in ("conv", "conv_transpose"):
        group = int(attributes.get("group", 1))  # type: ignore[call-overload]
        kernel = tuple(shape[2:])
        if not kernel or group <= 0 or shape[0] % group:
            return None
        taps = math.prod(kernel)
        if name == "conv":
            return Geometry("conv", group, shape[1] * taps, shape[0] // group, kernel)
        return Geometry("conv-transpose", group, shape[0] // group, shape[1] * taps, kernel)
    if name in ("lstm", "gru", "rnn"):
        return Geometry("recurrent", shape[0], shape[2], shape[1]) if len(shape) == 3 else None
    if len(shape) < 2:
        return None
    stack = math.prod(shape[:-2])
    if name == "gemm":
        transposed = bool(attributes.get("transB", attributes.get("trans_b", 0)))
        rows, columns = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        return Geometry("matrix", 1, rows, columns, transposed=transposed)
    if operand == 1:
        return Geometry("matrix", stack, shape[-2], shape[-1], stack=tuple(shape[:-2]))
    return Geometry("matrix-left", stack, shape[-1], shape[-2], stack=tuple(shape[:-2]))
