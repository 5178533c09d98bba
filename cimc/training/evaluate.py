"""The network on chips that neither training nor a test uses, on samples held out of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cimc.training.batches import Run, Samples
from cimc.training.history import Evaluated, Figure
from cimc.training.loss import Objective, OutcomeLike
from cimc.training.parallel import Ranks
from cimc.training.scores import IGNORED
from cimc.verification.batches import batch_size


class Runs(Protocol):
    """What can be called with inputs and a chip."""

    def __call__(
        self, inputs: Sequence[Tensor], chip: int | None, *, taps: bool = False
    ) -> OutcomeLike:
        """Run it."""


class Answering(Protocol):
    """What knows the float network's answers, by name."""

    def of(self, run: Run) -> Mapping[str, Tensor]:
        """Return the answers to a run."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What decisions are compared with.

    Attributes:
        figure: ``top1``, ``agreement``, or ``loss`` where there are no decisions.
        output: Number of the output that is looked at.
        name: Its name.
        axis: Of its classes; None without decisions.
    """

    figure: Figure
    output: int
    name: str
    axis: int | None


def yardstick(objective: Objective, *, labelled: bool, taught: bool, rank: int) -> Yardstick:
    """Return what an evaluation compares.

    With labels that fit: top-1.  Otherwise, where the teacher's answers to the output are at hand
    and verification would compare decisions: agreement with them.

    Args:
        objective: Says how outputs hold class scores.
        labelled: There are labels.
        taught: The teacher's answers to the primary output are known.
        rank: Axes of the primary output [-].
    """
    signal = objective.signals[objective.primary]
    scores = objective.scores.get(signal.name)
    if labelled and scores is not None:
        return Yardstick("top1", objective.primary, signal.name, scores.axis)
    axis = scores.axis if scores is not None else _usual_axis(rank)
    if taught and axis is not None:
        return Yardstick("agreement", objective.primary, signal.name, axis)
    return Yardstick("loss", objective.primary, signal.name, None)


def evaluate(
    network: Runs,
    samples: Samples,
    units: Sequence[int],
    chips: Sequence[int | None],
    objective: Objective,
    answers: Answering,
    stick: Yardstick,
    ranks: Ranks | None = None,
) -> Evaluated:
    """Run held-out samples on chips.

    Args:
        network: In evaluation mode.
        samples: All data.
        units: Those held out, at least one.
        chips: Seeds; None: no device.
        objective: The loss.
        answers: The teacher's.
        stick: What decisions are compared with.
        ranks: Processes that share the samples.
    """
    ranks = ranks or Ranks()
    total = max(objective.weight(samples, units), 1.0)
    shared = samples.parts(units, batch_size(samples.data))
    values, losses = [], []
    for chip in chips:
        sums = torch.zeros(3, dtype=torch.float64)
        for part in ranks.share(shared):
            run = samples.runs(part)[0]
            with torch.no_grad():
                outcome = network(run.inputs, chip)
                said = answers.of(run)
                loss = objective(outcome, run, said, layers=False)
            share = objective.weight(samples, part) / total
            right, count = _decided(outcome.outputs[stick.output], run, said, stick)
            sums += torch.tensor([float(loss) * share, right, count], dtype=torch.float64)
        loss_sum, right, count = _summed(ranks, sums).tolist()
        losses.append(loss_sum)
        values.append(right / count if count else loss_sum)
    figure = stick.figure if stick.axis is not None else "loss"
    mean = math.fsum(values) / len(values)
    spread = math.fsum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)
    return Evaluated(
        figure,
        tuple(values),
        tuple(losses),
        mean,
        math.sqrt(spread),
        math.fsum(losses) / len(losses),
    )


def _decided(
    output: Tensor, run: Run, said: Mapping[str, Tensor], stick: Yardstick
) -> tuple[int, int]:
    """Return how many decisions are right, and how many there are."""
    if stick.axis is None:
        return 0, 0
    chosen = output.argmax(stick.axis)
    if stick.figure == "top1":
        assert run.labels is not None
        wanted = run.labels.reshape(chosen.shape)
    else:
        wanted = said[stick.name].argmax(stick.axis)
    counted = wanted != IGNORED
    return int(((chosen == wanted) & counted).sum()), int(counted.sum())


def _summed(ranks: Ranks, sums: Tensor) -> Tensor:
    if ranks.size == 1:
        return sums
    return ranks.sum(sums.to(ranks.device)).cpu()


def _usual_axis(rank: int) -> int | None:
    """The convention of :func:`cimc.verification.metrics.class_axis` for a number of axes."""
    if rank < 2:
        return None
    return rank - 1 if rank <= 3 else 1
