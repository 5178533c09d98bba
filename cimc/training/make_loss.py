"""Which loss a recipe means, for a network and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training.loss import Objective
from cimc.training.recipe import Recipe
from cimc.training.scores import (
    Scores,
    are_log_probabilities,
    are_probabilities,
    check_classes,
    class_axis,
    fitting_axes,
)
from cimc.training.settings import UserLoss
from cimc.training.teacher import LAYER
from cimc.verification import metrics

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """The float network's answers to the first samples: what outputs are is read from them.

    Attributes:
        outputs: By name.
        layers: By node; empty unless the loss has a part for layers.
        labels: Of these samples; None without.
        samples_first: The first axis counts samples.
    """

    outputs: Mapping[str, Array]
    layers: Mapping[str, Array]
    labels: Array | None
    samples_first: bool


def make_objective(
    recipe: Recipe,
    signals: Sequence[Signal],
    probe: Probe,
    *,
    own: UserLoss | None = None,
    labels: Array | None = None,
) -> Objective:
    """Return the loss of a recipe for a network and its data.

    1. A user's own loss is taken as it is; outputs by name, and the labels of the run.
    2. ``cross-entropy`` (``auto``: where there are labels): the axis of classes is the one whose
       removal gives the labels' shape; labels of -100 count for nothing.
    3. ``distillation``: of the output the recipe names, else of all floating-point ones.  Class
       scores by the Kullback-Leibler divergence; others by mean square error, relative to the
       mean square of the float network's.  Class scores are what labels fit, and what are
       probabilities or their logarithms; anything else may be coordinates or pixels, whose
       common offset a divergence would not see.
    4. Outputs that are probabilities are not put through a softmax again.

    Args:
        recipe: ``loss``, ``output``, ``temperature``, ``layer_weight``.
        signals: The network's outputs.
        probe: The float network's answers to the first samples.
        own: The user's loss.
        labels: All labels.

    Raises:
        ModelError: CIMC-M96, there is nothing to compute the loss from; CIMC-M77, a label is no
            class.
    """
    floats = [i for i, s in enumerate(signals) if probe.outputs[s.name].dtype.kind in "fV"]
    primary = _primary(recipe.output, signals, floats)
    names = [signals[i].name for i in ([primary] if recipe.output else floats)]
    kind = recipe.loss
    if own is not None:
        kind = "auto"
    elif kind == "auto":
        kind = "distillation" if labels is None else "cross-entropy"
    scores: dict[str, Scores] = {}
    if kind == "cross-entropy":
        name = signals[primary].name
        scores[name] = _labelled(name, probe, labels)
    else:
        scores = {n: s for n in names if (s := known_scores(n, probe)) is not None}
    distilled = tuple(names) if kind == "distillation" else ()
    scales = {n: _mean_square(probe.outputs[n]) for n in distilled}
    if recipe.layer_weight > 0.0:
        scales.update({LAYER + n: _mean_square(a) for n, a in probe.layers.items()})
    return Objective(
        "own" if own is not None else kind,
        tuple(signals),
        primary,
        scores,
        distilled,
        scales,
        recipe.temperature,
        recipe.layer_weight,
        own,
    )


def known_scores(name: str, probe: Probe) -> Scores | None:
    """Return how an output holds class scores, as far as data and float network show it."""
    output = probe.outputs[name]
    if probe.labels is not None:
        shape = probe.labels.shape
        axes = fitting_axes(shape, output.shape, samples_first=probe.samples_first)
        if len(axes) == 1:
            return Scores(axes[0], are_probabilities(output, axes[0]))
    axis = metrics.class_axis(output)
    if axis is not None and are_probabilities(output, axis):
        return Scores(axis, True)
    if axis is not None and are_log_probabilities(output, axis):
        return Scores(axis, False)
    return None


def _labelled(name: str, probe: Probe, labels: Array | None) -> Scores:
    if labels is None or probe.labels is None:
        raise ModelError(
            "CIMC-M96",
            "cross-entropy needs labels, the training data have none",
            where="the loss of fine-tuning",
            hint="an array 'labels' in the training data, or the loss 'distillation'",
        )
    output = probe.outputs[name]
    axis = class_axis(probe.labels, output, name, samples_first=probe.samples_first)
    check_classes(labels, output.shape[axis])
    return Scores(axis, are_probabilities(output, axis))


def _primary(wanted: str, signals: Sequence[Signal], floats: Sequence[int]) -> int:
    """Return the number of the output the loss is of."""
    chosen = [i for i in floats if wanted in ("", signals[i].name)]
    if chosen:
        return chosen[0]
    named = ", ".join(f"'{s.name}' ({s.dtype})" for s in signals)
    what = f"'{wanted}' is no output" if wanted else "no output is one"
    raise ModelError(
        "CIMC-M96",
        f"{what} with floating-point values of the network, which has {named}",
        where="the loss of fine-tuning",
        hint="one of those that are" if floats else "a model cut before its decisions are taken",
    )


def _mean_square(values: Array) -> float:
    mean = float(np.square(np.asarray(values, dtype=np.float64)).mean()) if values.size else 0.0
    return mean if mean > 0.0 and np.isfinite(mean) else 1.0
