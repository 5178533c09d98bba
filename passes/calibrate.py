"""Learn what the inputs of every crossbar layer look like, from the user's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.fx import Node

from cimc.errors import ModelError
from cimc.ir.geometry import Geometry
from cimc.ir.input_vectors import channel_axis, input_operand, input_vectors
from cimc.ir.interpreter import interpret
from cimc.ir.layer import CrossbarLayer, InputStatistics
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.verification.batches import split

BINS = 2048


@dataclass(frozen=True)
class Calibrate(Pass):
    """Run the network on the calibration data and record the inputs of every use of a layer.

    The data are streamed in batches; what is kept does not grow with them.  Without data the pass
    only marks the stage: converter ranges then come from the weights (see ``fit-converters``).

    Attributes:
        vectors: Input vectors sampled a use for the second moments [-].

    Raises:
        ModelError: CIMC-M54, the network computes NaN or infinity on the data, or values near it.
    """

    name: ClassVar[str] = "calibrate"
    needs: ClassVar[Stage] = Stage.PARTITIONED
    gives: ClassVar[Stage] = Stage.CALIBRATED

    vectors: int = 8192

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with input statistics on every use."""
        if context.data is None:
            return replace(network, stage=max(network.stage, Stage.CALIBRATED))
        watched: dict[str, list[_Accumulator]] = {}
        for layer in network.layers.values():
            for use in layer.uses:
                watched.setdefault(use.node, []).append(_Accumulator(layer, use.operand))
        total = context.data.samples
        runs = split(context.data, network.inputs, batched=network.batched, batch=context.batch)
        per_run = max(64, self.vectors // len(runs))

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            for accumulator in watched.get(node.name, ()):
                accumulator.add(node, operands, value, per_run, context.seed)
            return value

        for done, feed in enumerate(runs, 1):
            interpret(network.graph, _tensors(feed, network), observe)
            context.progress(self.name, done / len(runs))
        layers = {
            name: _with_statistics(layer, watched, total) for name, layer in network.layers.items()
        }
        return replace(network, layers=layers, stage=max(network.stage, Stage.CALIBRATED))


def _tensors(feed: Mapping[str, npt.NDArray[Any]], network: Network) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(feed[s.name])) for s in network.inputs]


def _with_statistics(
    layer: CrossbarLayer, watched: Mapping[str, list[_Accumulator]], samples: int
) -> CrossbarLayer:
    uses = []
    for use in layer.uses:
        accumulator = next(a for a in watched[use.node] if a.operand == use.operand)
        uses.append(replace(use, statistics=accumulator.result(use.node, samples)))
    return replace(layer, uses=tuple(uses))


@dataclass(slots=True)
class _Accumulator:
    """Running figures of one use."""

    layer: CrossbarLayer
    operand: int
    low: float = float("inf")
    high: float = float("-inf")
    limit: float = 0.0
    histogram: Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.int64))
    power: Tensor | None = None
    vectors: int = 0
    mean: Tensor | None = None
    outputs: int = 0

    def add(
        self, node: Node, operands: tuple[Any, ...], value: Any, vectors: int, seed: int
    ) -> None:
        """Take in the operands and the result of one run."""
        x = input_operand(node, self.operand, operands, value)
        if x.numel() == 0:
            return
        low, high = (float(v) for v in torch.aminmax(x.float()))
        if not np.isfinite(low) or not np.isfinite(high):
            raise self._refused(node, "NaN or infinite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._count(x.abs().float())
        self._moments(node, operands, value, vectors, seed)
        self._output(node, value, self.layer.geometry)

    def _refused(self, node: Node, what: str) -> ModelError:
        return ModelError(
            "CIMC-M54",
            f"the input of crossbar layer '{self.layer.name}' is {what}",
            where=f"node {node.meta.get('source', node.name)}",
            hint="checking the calibration data and the range the model expects",
        )

    def _count(self, magnitude: Tensor) -> None:
        top = float(magnitude.max())
        if self.limit == 0.0:
            self.limit = top
        while top > self.limit:
            pairs = self.histogram.reshape(-1, 2).sum(1)
            self.histogram = torch.cat([pairs, torch.zeros_like(pairs)])
            self.limit *= 2
        if self.limit == 0.0:
            self.histogram[0] += magnitude.numel()
        else:
            self.histogram += torch.histc(magnitude, BINS, 0, self.limit).to(torch.int64)

    def _moments(
        self, node: Node, operands: tuple[Any, ...], value: Any, vectors: int, seed: int
    ) -> None:
        x = input_vectors(node, self.operand, operands, value, self.layer.geometry, vectors, seed)
        power = x.float().square().sum(0)
        if not bool(torch.isfinite(power).all()):
            raise self._refused(node, f"so large ({self.high:.1e}) that its square overflows")
        self.power = power if self.power is None else self.power + power
        self.vectors += len(x)

    def _output(self, node: Node, value: Any, geometry: Geometry) -> None:
        axis = channel_axis(node, self.operand)
        if axis is None or not isinstance(value, Tensor) or value.ndim == 0:
            return
        channels = value.float().movedim(axis, -1)
        total = channels.reshape(-1, channels.shape[-1]).sum(0)
        self.mean = total if self.mean is None else self.mean + total
        self.outputs += channels[..., 0].numel()

    def result(self, node: str, samples: int) -> InputStatistics | None:
        """Return the figures; None when nothing was seen."""
        if self.power is None:
            return None
        return InputStatistics(
            x_min=self.low,
            x_max=self.high,
            limit=self.limit,
            histogram=self.histogram.numpy(),
            power=self.power / max(1, self.vectors),
            output_mean=None if self.mean is None else self.mean / max(1, self.outputs),
            samples=samples,
        )
