"""One operation that reads crossbars, in the forward pass of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.layer import CrossbarLayer
from cimc.ops.convolution import conv_window
from cimc.training import straight_through
from cimc.training.chip_reads import ChipReads, Gate
from cimc.training.recipe import Gradient
from cimc.training.straight_through import Limits

_RECURRENT = ("lstm", "gru", "rnn")


@dataclass(frozen=True, slots=True)
class Weight:
    """The quantized weight of a layer in one forward pass.

    Attributes:
        matrix: ``(groups, rows, columns)``.
        whole: The same in the operator's layout.
    """

    matrix: Tensor
    whole: Tensor


@dataclass(frozen=True, slots=True)
class AnalogForward:
    """How an operation that reads crossbars runs.

    Attributes:
        node: The operation.
        layers: What it reads, by operand.
        inputs: Quantizes the inputs of a layer, by operand; absent where they are left as they
            are.
        gradient: How it is differentiated.
    """

    node: Node
    layers: Mapping[int, CrossbarLayer]
    inputs: Mapping[int, Callable[[Tensor], Tensor]]
    gradient: Gradient

    def __call__(
        self, operands: Sequence[Any], weights: Mapping[int, Weight], chip: ChipReads | None
    ) -> Any:
        """Run the operation.

        Args:
            operands: Its operands; what stands at the places of weights is not read.
            weights: Of the layers it reads, by operand.
            chip: Reads it; None: the clean operation.
        """
        if rewrite.operator_name(self.node) in _RECURRENT:
            return self._recurrent(operands, weights, chip)
        ((position, weight),) = weights.items()
        given = list(operands)
        x_at = 1 if position == 0 else 0
        given[x_at] = self._quantized(position, given[x_at])
        given[position] = weight.whole
        if chip is None:
            return self._clean(given)
        device = self._device(chip, given, x_at, position)
        if self.gradient == "full":
            return device(given[x_at])
        limits = chip.limits.get((self.node.name, position))
        if self.gradient == "straight-through":
            known = self._known(device, given, position, weight, limits)
            if known is not None:
                return known
        given[x_at] = straight_through.clipped(given[x_at], limits)
        clean = self._clean(given)
        if self.gradient == "detached":
            return clean + (device(given[x_at]) - clean.detach()).detach()
        return straight_through.with_difference(device, given[x_at], clean)

    def _quantized(self, position: int, x: Tensor) -> Tensor:
        quantize = self.inputs.get(position)
        return x if quantize is None else quantize(x)

    def _clean(self, operands: Sequence[Any]) -> Any:
        return self.node.target(*operands, **self.node.kwargs)  # type: ignore[operator]

    def _device(
        self, chip: ChipReads, operands: Sequence[Any], x_at: int, position: int
    ) -> Callable[[Tensor], Tensor]:
        run = chip.operations[self.node.name]

        def device(x: Tensor) -> Tensor:
            given = list(operands)
            given[x_at], given[position] = x, None
            result: Tensor = run(*given)
            return result

        return device

    def _known(
        self,
        device: Callable[[Tensor], Tensor],
        operands: Sequence[Any],
        position: int,
        weight: Weight,
        limits: Limits | None,
    ) -> Tensor | None:
        """Return the result where gradients need no clean forward pass; None elsewhere."""
        name, attributes = rewrite.operator_name(self.node), self.node.kwargs
        x = operands[0]
        bias = operands[2] if len(operands) > 2 else None
        if name == "conv":
            settings = {k: v for k, v in attributes.items() if k != "group"}
            window = conv_window(x.shape[2:], weight.whole.shape[2:], **settings)  # type: ignore[arg-type]
            if not window.symmetric:
                return None
            group = cast("int", attributes.get("group", 1))
            shape = straight_through.Settings(
                list(window.strides), list(window.before), list(window.dilations), group
            )
            return straight_through.convolution(device, x, weight.whole, bias, shape, limits)
        plain = name == "matmul" or (
            name == "gemm"
            and attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
            and not attributes.get("transA")
        )
        stacked = len(weight.matrix) != 1 or self.layers[position].geometry.stack
        if position == 1 and plain and not stacked and x.ndim > 1:
            return straight_through.product(device, x, weight.matrix[0], bias, limits)
        return None

    def _recurrent(
        self, operands: Sequence[Any], weights: Mapping[int, Weight], chip: ChipReads | None
    ) -> Any:
        given = list(operands)
        for position, weight in weights.items():
            quantize = self.inputs.get(position)
            if chip is None and quantize is None:
                given[position] = weight.whole
                continue
            gate, limits = None, None
            if chip is not None:
                gate = chip.gates[self.node.name][position]
                limits = chip.limits.get((self.node.name, position))
            given[position] = _Gates(weight.matrix, quantize, gate, limits, self.gradient)
        return self._clean(given)


@dataclass(frozen=True, slots=True)
class _Gates:
    """The gate matrices of a recurrent operation (a ``Stationary``)."""

    matrix: Tensor
    quantize: Callable[[Tensor], Tensor] | None
    gate: Gate | None
    limits: Limits | None
    gradient: Gradient

    def mvm(self, x: Tensor, group: int) -> Tensor:
        """Multiply input vectors ``(..., rows)`` by one matrix of the stack."""
        x = x if self.quantize is None else self.quantize(x)
        matrix = self.matrix[group]
        if self.gate is None:
            return torch.matmul(x, matrix)
        device = partial(self._read, group=group)
        if self.gradient == "full":
            return device(x)
        if self.gradient == "straight-through":
            return straight_through.product(device, x, matrix, None, self.limits)
        x = straight_through.clipped(x, self.limits)
        clean = torch.matmul(x, matrix)
        if self.gradient == "detached":
            return clean + (device(x) - clean.detach()).detach()
        return straight_through.with_difference(device, x, clean)

    def _read(self, x: Tensor, group: int) -> Tensor:
        assert self.gate is not None
        return self.gate(x, group)
