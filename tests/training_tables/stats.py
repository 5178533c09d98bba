"""Means over fine-tunings, and differences of fine-tunings that share seed, chips and samples.

The unit is a fine-tuning: its score is the mean over its chips, so an interval covers the draw of
training, of chips and of their noise.  The test samples are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cimc.verification.intervals import student

CONFIDENCE = 0.95
MISSING = "missing"

#: Scores of the chips of each fine-tuning; None where there is none.
Scores = Sequence[Sequence[float] | None]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over fine-tunings.

    Attributes:
        mean: In the unit of the scores.
        sd: Standard deviation over fine-tunings; None: fewer than two.
        half: Half width of Student's interval of the mean; None: fewer than two.
        count: Fine-tunings [-].
    """

    mean: float
    sd: float | None
    half: float | None
    count: int

    def shown(self, digits: int = 2) -> str:
        """Return mean ± standard deviation."""
        text = f"{self.mean:.{digits}f}"
        return text if self.sd is None else f"{text} ± {self.sd:.{digits}f}"

    def interval(self, digits: int = 2) -> str:
        """Return the signed mean with its interval."""
        text = f"{self.mean:+.{digits}f}"
        if self.half is None:
            return f"{text} (one seed)"
        low, high = self.mean - self.half, self.mean + self.half
        return f"{text} ({low:+.{digits}f} to {high:+.{digits}f})"

    @property
    def verdict(self) -> str:
        """Return whether the mean is above 0, below, or neither can be said."""
        if self.half is None or abs(self.mean) <= self.half:
            return "open"
        return "above" if self.mean > 0 else "below"


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean of one figure a fine-tuning; None of none."""
    count = len(values)
    if not count:
        return None
    mean = math.fsum(values) / count
    found = student(values, CONFIDENCE)
    if found.low is None or found.high is None:
        return Estimate(mean, None, None, count)
    sd = float(np.std(values, ddof=1))
    return Estimate(mean, sd, 0.5 * (found.high - found.low), count)


def of(scores: Scores) -> Estimate | None:
    """Return the mean over fine-tunings of the means over chips."""
    return estimate([float(np.mean(chips)) for chips in scores if chips is not None])


def difference(first: Scores, second: Scores) -> Estimate | None:
    """Return the mean of ``first - second``, fine-tuning by fine-tuning, where both are there."""
    pairs = [
        (float(np.mean(a)), float(np.mean(b)))
        for a, b in zip(first, second, strict=True)
        if a is not None and b is not None
    ]
    return estimate([a - b for a, b in pairs])


def chip_spread(scores: Scores) -> float | None:
    """Return the standard deviation over chips, pooled over fine-tunings."""
    variances = [float(np.var(c, ddof=1)) for c in scores if c is not None and len(c) > 1]
    return math.sqrt(float(np.mean(variances))) if variances else None


def cell(value: Estimate | None, digits: int = 2) -> str:
    """Return what a table shows of a mean; seeds that are missing are told."""
    if value is None:
        return MISSING
    return value.shown(digits) if value.count >= 3 else f"{value.shown(digits)} [{value.count}]"


def gap_cell(value: Estimate | None, digits: int = 2) -> str:
    """Return what a table shows of a difference; seeds that are missing are told."""
    if value is None:
        return MISSING
    text = value.interval(digits)
    return text if value.count >= 3 or value.count < 2 else f"{text} [{value.count}]"
