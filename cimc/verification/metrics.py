"""What two runs of a network are compared by: top-1, agreement, signal-to-noise ratio.

All functions are vectorized, take numpy arrays whose first axis is the sample, and never return
NaN: an undefined figure is None.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError

Values = npt.NDArray[Any]
Classes = npt.NDArray[np.int64]


def class_axis(output: Values) -> int | None:
    """Return the axis of an output that holds class scores, or None when there is none.

    ``(n, classes)`` and ``(n, steps, classes)``: the last axis.  ``(n, classes, height, width)``
    and deeper maps: axis 1.  An axis of length one holds no classes.  Integer outputs are class
    numbers already and have no such axis.

    Args:
        output: Network output, first axis samples.
    """
    if output.ndim < 2 or not np.issubdtype(output.dtype, np.floating):
        return None
    axis = output.ndim - 1 if output.ndim <= 3 else 1
    return axis if output.shape[axis] > 1 else None


def decisions(output: Values) -> Classes | None:
    """Return the class each sample (step, pixel) is given, or None when the output names none.

    Ties go to the lowest class, as in ``numpy.argmax``; a score that is NaN wins nothing.

    Args:
        output: Scores, shape as in :func:`class_axis`, or integer class numbers of any shape.

    Returns:
        The shape of ``output`` without its class axis.
    """
    if np.issubdtype(output.dtype, np.integer) and output.ndim >= 1:
        return output.astype(np.int64, copy=False)
    axis = class_axis(output)
    if axis is None:
        return None
    if np.isnan(output).any():
        output = np.where(np.isnan(output), -np.inf, output)
    chosen: Classes = np.argmax(output, axis=axis).astype(np.int64, copy=False)
    return chosen


def share_equal(left: Classes, right: Classes) -> float:
    """Return the share of entries in which two decision arrays agree, in [0, 1].

    Args:
        left: Decisions, any shape.
        right: Decisions or labels of the same shape.

    Raises:
        ModelError: CIMC-M77 when the shapes differ or there is nothing to compare.
    """
    if left.shape != right.shape or left.size == 0:
        raise ModelError(
            "CIMC-M77",
            f"labels of shape {list(right.shape)} do not fit decisions of shape "
            f"{list(left.shape)}",
            where="array 'labels'",
            hint="one label for each sample (for sequences and maps: each step or pixel)",
        )
    return float(np.count_nonzero(left == right)) / left.size


def powers(reference: Values, value: Values) -> tuple[float, float]:
    """Return signal and noise energy, sum(reference**2) and sum((value - reference)**2).

    Where the reference is not finite (masked logits at -inf) an equal value counts as no noise,
    any other as infinite noise.

    Args:
        reference: What was wanted.
        value: What was had, same shape.
    """
    r = np.asarray(reference, dtype=np.float64).reshape(-1)
    v = np.asarray(value, dtype=np.float64).reshape(-1)
    finite = np.isfinite(r)
    if not finite.all():
        same = (r == v) | (np.isnan(r) & np.isnan(v))
        if not same[~finite].all():
            return float(np.square(r[finite]).sum()), math.inf
        r, v = r[finite], v[finite]
    if not np.isfinite(v).all():
        return float(r @ r), math.inf
    d = v - r
    return float(r @ r), float(d @ d)


def decibel(signal: float, noise: float) -> float:
    """Return ``10*log10(signal/noise)`` [dB]: +inf without noise, -inf without signal."""
    if noise == 0.0:
        return math.inf
    if signal == 0.0 or math.isinf(noise):
        return -math.inf
    return 10.0 * (math.log10(signal) - math.log10(noise))


def snr_db(reference: Values, value: Values) -> float:
    """Return the signal-to-noise ratio of a value against a reference [dB].

    Energies are summed over all samples before the ratio is taken, so that a quiet sample does
    not decide the figure.  +inf when both are equal.
    """
    return decibel(*powers(reference, value))
