"""What a run is measured by: loss, decisions, the float network's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training.batches import Samples
from cimc.training.evaluate import Runs, Yardstick, yardstick
from cimc.training.loss import Objective
from cimc.training.make_loss import Probe, make_objective
from cimc.training.settings import Teacher, Training
from cimc.training.teacher import LAYER, Answers
from cimc.verification.batches import batch_size

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Measures:
    """What a run is measured by.

    Attributes:
        objective: The loss.
        stick: What decisions are compared with.
        answers: Of the float network.
    """

    objective: Objective
    stick: Yardstick
    answers: Answers


def measures_of(
    network: Runs,
    training: Training,
    samples: Samples,
    signals: Sequence[Signal],
    teacher: Teacher | None,
    *,
    evaluated: bool,
    progress: Callable[[float], None],
) -> Measures:
    """Find the loss from the float network's answers to the first samples; ask it for the rest.

    Args:
        network: In evaluation mode; answers where there is no teacher.
        training: Recipe, and a loss of the user's own.
        samples: All of the data.
        signals: The network's outputs.
        teacher: The float network.
        evaluated: There are evaluations.
        progress: Told the share of samples that the teacher has answered.

    Raises:
        ModelError: CIMC-M77, CIMC-M96, see :func:`cimc.training.make_loss.make_objective`;
            CIMC-M97, the loss is a distance to a float network that is not at hand.
    """
    probe, own = _probe(network, training, samples, signals, teacher), training.loss
    objective = make_objective(training.recipe, signals, probe, own=own, labels=samples.labels)
    if teacher is None and (objective.distilled or objective.taps):
        raise ModelError(
            "CIMC-M97",
            "the float network is not at hand, which the loss is a distance to",
            where="the loss of fine-tuning",
            hint="labels, or a loss of your own",
        )
    rank = probe.outputs[signals[objective.primary].name].ndim
    labelled, taught = samples.labels is not None, teacher is not None
    stick = yardstick(objective, labelled=labelled, taught=taught, rank=rank)
    names = objective.teacher_names
    if evaluated and stick.figure == "agreement" and stick.name not in names:
        names = (*names, stick.name)
    answers = Answers(
        teacher or _nothing, samples, names, device=samples.device, progress=progress
    )
    return Measures(objective, stick, answers)


def _probe(
    network: Runs,
    training: Training,
    samples: Samples,
    signals: Sequence[Signal],
    teacher: Teacher | None,
) -> Probe:
    block = batch_size(samples.data) if samples.merged else 1
    run = samples.runs(range(min(block, samples.units)))[0]
    taps = training.recipe.layer_weight > 0.0
    with torch.no_grad():
        own = network(run.inputs, None, taps=taps)
    said = dict(teacher(samples.feed(run.units))) if teacher else {}
    outputs = {
        s.name: said.get(s.name, _array(y)) for s, y in zip(signals, own.outputs, strict=True)
    }
    layers = {n: said[LAYER + n] for n in own.layers if LAYER + n in said} if taps else {}
    return Probe(outputs, layers, samples.labels_of(run.units), not samples.stacked)


def _nothing(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _array(value: Any) -> Any:
    """Return an output as numpy; what is no tensor has no say in the loss."""
    if not isinstance(value, Tensor):
        return np.empty(0, dtype=object)
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
