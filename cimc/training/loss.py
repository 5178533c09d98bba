"""What fine-tuning minimizes: cross-entropy, distance to the float network, a user's own loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cimc.errors import UsageError
from cimc.ir.network import Signal
from cimc.training.batches import Run, Samples
from cimc.training.scores import (
    IGNORED,
    Scores,
)
from cimc.training.settings import UserLoss
from cimc.training.teacher import LAYER

Array = npt.NDArray[Any]


class OutcomeLike(Protocol):
    """What a forward pass gives; ``cimc.training.trainable.Outcome``, or a stand-in of a test."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """In the order of the network's outputs."""

    @property
    def layers(self) -> dict[str, Tensor]:
        """Results of the operations that read crossbars, by node name, when tapped."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of one run, a mean over what it is of.

    Attributes:
        kind: ``cross-entropy``, ``distillation`` or ``own``.
        signals: The network's outputs.
        primary: Number of the output that evaluations look at.
        scores: By name, outputs that are known to hold class scores.
        distilled: Names of outputs that are compared with the teacher's.
        scales: By name (layers as in :mod:`cimc.training.teacher`), mean square of the teacher's
            values, that square errors are relative to.
        temperature: Of the Kullback-Leibler divergence [-].
        layer_weight: Of the error of each layer [-].
        own: The user's loss.
    """

    kind: str
    signals: tuple[Signal, ...]
    primary: int
    scores: Mapping[str, Scores] = field(default_factory=dict)
    distilled: tuple[str, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    layer_weight: float = 0.0
    own: UserLoss | None = None

    @property
    def taps(self) -> bool:
        """Whether results of layers are needed."""
        return self.layer_weight > 0.0

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """What is asked of the teacher."""
        layers = tuple(n for n in self.scales if n.startswith(LAYER)) if self.taps else ()
        return self.distilled + layers

    def describe(self) -> str:
        """Return what is minimized, in words."""
        if self.kind == "own":
            text = "a loss of the user's own"
        elif self.kind == "cross-entropy":
            name = self.signals[self.primary].name
            text = f"cross-entropy of output '{name}', {self._form(name)}"
        else:
            text = "distance to the float network: " + ", ".join(
                map(self._distance, self.distilled)
            )
        return text + (f", and of layers, times {self.layer_weight:g}" if self.taps else "")

    def weight(self, samples: Samples, units: Sequence[int]) -> float:
        """Return what the mean over some units counts for: labels that are not ignored, samples.

        Args:
            samples: The data.
            units: Of one run, or of a batch.
        """
        if self.kind != "cross-entropy":
            return float(len(units) * samples.unit_samples)
        parts = [units] if samples.merged else [(u,) for u in units]
        return float(sum(_counted(samples.labels_of(part)) for part in parts if len(part)))

    def __call__(
        self, outcome: OutcomeLike, run: Run, answers: Mapping[str, Tensor], *, layers: bool = True
    ) -> Tensor:
        """Return the loss of a run, a scalar.

        Args:
            outcome: The network's.
            run: What it was called with.
            answers: The teacher's, see :attr:`teacher_names`.
            layers: Count the layers too.
        """
        outputs = {s.name: y for s, y in zip(self.signals, outcome.outputs, strict=True)}
        if self.own is not None:
            loss = _scalar(self.own(outputs, run.labels))
        elif self.kind == "cross-entropy":
            name = self.signals[self.primary].name
            loss = self._cross_entropy(outputs[name], run.labels, self.scores[name])
        else:
            parts = [self._distilled(n, outputs[n], answers[n]) for n in self.distilled]
            loss = torch.stack(parts).sum()
        if layers and self.taps:
            for key, scale in self.scales.items():
                if key.startswith(LAYER):
                    value = outcome.layers[key.removeprefix(LAYER)]
                    error = _relative_error(value, answers[key], scale)
                    loss = loss + self.layer_weight * error
        return loss

    def _cross_entropy(self, output: Tensor, labels: Tensor | None, scores: Scores) -> Tensor:
        assert labels is not None
        flat = scores.log(output.float()).movedim(scores.axis, -1)
        flat = flat.reshape(-1, flat.shape[-1])
        wanted = labels.reshape(-1)
        total = functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum")
        return total / (wanted != IGNORED).sum().clamp_min(1)

    def _distilled(self, name: str, output: Tensor, answer: Tensor) -> Tensor:
        if name not in self.scores:
            return _relative_error(output, answer, self.scales[name])
        return divergence(output.float(), answer.float(), self.scores[name], self.temperature)

    def _form(self, name: str) -> str:
        form = "probabilities" if self.scores[name].probabilities else "scores"
        return f"{form} along axis {self.scores[name].axis}"

    def _distance(self, name: str) -> str:
        if name in self.scores:
            return f"'{name}' (Kullback-Leibler divergence, {self._form(name)})"
        return f"'{name}' (relative mean square error)"


def divergence(output: Tensor, answer: Tensor, scores: Scores, temperature: float) -> Tensor:
    """Return ``T^2 KL(softmax(answer / T) | softmax(output / T))``, the mean over decisions.

    Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015), section 2;
    ``T^2`` keeps the size of the gradient.

    Args:
        output: Scores of the network.
        answer: Scores of the float network, same shape.
        scores: What they are.
        temperature: T [-].
    """
    wanted = functional.log_softmax(scores.log(answer) / temperature, dim=scores.axis)
    had = functional.log_softmax(scores.log(output) / temperature, dim=scores.axis)
    each = (wanted.exp() * (wanted - had)).sum(dim=scores.axis)
    return each.mean() * temperature**2


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise UsageError(
            "CIMC-U02",
            f"the loss returned {shape}, not a scalar tensor",
            where="the user's loss",
            hint="loss.mean()",
        )
    return loss.reshape(())


def _relative_error(value: Tensor, wanted: Tensor, scale: float) -> Tensor:
    return functional.mse_loss(value.float(), wanted.float()) / scale


def _counted(labels: Array | None) -> int:
    return 0 if labels is None else int(np.count_nonzero(labels != IGNORED))
