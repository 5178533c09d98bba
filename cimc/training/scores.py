"""Which axis of an output holds class scores, and whether the scores are probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ModelError

Array = npt.NDArray[Any]

#: Label of what counts for nothing, as in ``torch.nn.functional.cross_entropy``.
IGNORED = -100
#: Largest difference to 1 of the sum of what counts as probabilities (float16 included).
_SUM = 5e-3


@dataclass(frozen=True, slots=True)
class Scores:
    """How an output holds class scores.

    Attributes:
        axis: That of the classes.
        probabilities: The scores are probabilities: the network ends in a softmax.
    """

    axis: int
    probabilities: bool

    def log(self, output: Tensor) -> Tensor:
        """Return scores whose softmax along :attr:`axis` are the network's probabilities.

        Probabilities become their logarithms; those that float32 has no word for become the
        least it has, which gives no gradient.
        """
        if not self.probabilities:
            return output
        return output.clamp_min(torch.finfo(output.dtype).tiny).log()


def fitting_axes(
    labels: Sequence[int], output: Sequence[int], *, samples_first: bool
) -> list[int]:
    """Return the axes of an output whose removal gives the shape of the labels.

    Axes of length one hold no classes, and make no difference between shapes: labels ``(n, 1)``
    fit scores ``(n, classes, 1, 1)``.

    Args:
        labels: Shape.
        output: Shape.
        samples_first: The first axis of both counts samples.
    """
    first = 1 if samples_first else 0
    wanted = _shape(labels, first)
    return [
        axis
        for axis in range(first, len(output))
        if output[axis] > 1
        and list(output[:first]) == list(labels[:first])
        and _shape([d for i, d in enumerate(output) if i != axis], first) == wanted
    ]


def class_axis(labels: Array, output: Array, name: str, *, samples_first: bool) -> int:
    """Return the axis of an output that holds the scores of the classes that labels number.

    Args:
        labels: Of one run.
        output: The float network's, of the same run.
        name: Of the output.
        samples_first: The first axis of both counts samples.

    Raises:
        ModelError: CIMC-M96, no axis or several may be meant.
    """
    axes = fitting_axes(labels.shape, output.shape, samples_first=samples_first)
    if len(axes) == 1:
        return axes[0]
    what = (
        f"axes {' and '.join(map(str, axes))} of output '{name}' may both hold the classes: it "
        f"has the shape {list(output.shape)}, labels {list(labels.shape)}"
        if axes
        else f"labels of shape {list(labels.shape)} do not fit output '{name}' of shape "
        f"{list(output.shape)}: they should have that shape without the axis of classes"
    )
    raise ModelError(
        "CIMC-M96",
        what,
        where="the loss of fine-tuning",
        hint="a loss of your own (API), another output, or leaving labels out (distillation)",
    )


def check_classes(labels: Array, classes: int) -> None:
    """Refuse labels that number no class; -100 is none on purpose.

    Raises:
        ModelError: CIMC-M77.
    """
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != IGNORED)]
    if wrong.size:
        raise ModelError(
            "CIMC-M77",
            f"label {wrong.flat[0]} is none of the {classes} classes of the network",
            where="array 'labels'",
            hint=f"class numbers 0 to {classes - 1}; {IGNORED} where there is no answer",
        )


def are_probabilities(output: Array, axis: int) -> bool:
    """Whether values are probabilities along an axis: none negative, sums of one."""
    if output.shape[axis] < 2 or not output.size:
        return False
    values = np.asarray(output, dtype=np.float64)
    sums = values.sum(axis=axis)
    return bool((values >= -1e-6).all() and (np.abs(sums - 1.0) < _SUM).all())


def are_log_probabilities(output: Array, axis: int) -> bool:
    """Whether values are logarithms of probabilities along an axis."""
    values = np.asarray(output, dtype=np.float64)
    if values.size and (values <= 1e-6).all():
        return are_probabilities(np.exp(values), axis)
    return False


def _shape(shape: Sequence[int], first: int) -> list[int]:
    return [*shape[:first], *(d for d in shape[first:] if d != 1)]
