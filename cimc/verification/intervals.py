"""Confidence intervals over chips, the number of chips fixed beforehand.

The images are fixed; a chip is one draw of everything that differs from chip to chip.  Bounds that
stay valid when one looks after every chip are in :mod:`cimc.verification.confidence_sequence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; a side that cannot be bounded is None.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        method: How it was found: ``student``, ``bounded``, ``order-statistic``, ``exact`` (no
            randomness), and their ``-sequence`` forms, valid at any number of chips.
    """

    low: float | None
    high: float | None
    method: str


def student(values: Sequence[float], confidence: float) -> Interval:
    """Return Student's two-sided interval of the mean over chips.

    Exact for normally distributed values; good for accuracies of chips whose noise has many small
    causes.  It knows nothing of rare catastrophic chips that were not drawn: see
    :func:`cimc.verification.confidence_sequence.bounded_interval` for a bound that does.

    Args:
        values: One figure a chip, finite.
        confidence: Coverage, in (0, 1).

    Returns:
        Unbounded (None, None) for fewer than two chips.
    """
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return Interval(None, None, "student")
    mean = math.fsum(values) / n
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    t = float(stdtrit(n - 1, 0.5 + confidence / 2))
    half = t * math.sqrt(variance / n)
    return Interval(mean - half, mean + half, "student")


def order_statistic(values: Sequence[float], quantile: float, confidence: float) -> Interval:
    """Return the two-sided distribution-free interval of a quantile over chips.

    At least k of n values lie at or below the quantile with the probability that a
    Binomial(n, quantile) variable is >= k, whatever the distribution; so the k-th smallest value
    is a lower bound.  Conover, Practical Nonparametric Statistics (1999), section 3.2.

    Args:
        values: One figure a chip.
        quantile: Share of chips below it, in (0, 1); 0.05 asks what 95 % of chips reach.
        confidence: Coverage, in (0, 1).

    Returns:
        A side is None where there are too few chips for it, see :func:`chips_needed`.
    """
    from scipy.stats import binom

    n, tail = len(values), (1.0 - confidence) / 2
    ordered = sorted(values)
    # Largest k with P(Bin >= k) >= 1 - tail, smallest k with P(Bin <= k - 1) >= 1 - tail.
    low = int(binom.ppf(tail, n, quantile)) if n else 0
    while low > 0 and binom.cdf(low - 1, n, quantile) > tail:
        low -= 1
    high = int(binom.ppf(1.0 - tail, n, quantile)) + 1 if n else 1
    return Interval(
        ordered[low - 1] if low >= 1 else None,
        ordered[high - 1] if high <= n else None,
        "order-statistic",
    )


def chips_needed(quantile: float, confidence: float) -> int:
    """Return how many chips bound a quantile from below at all.

    The smallest value is a bound once ``(1 - quantile)**n <= (1 - confidence) / 2``.
    """
    return math.ceil(math.log((1.0 - confidence) / 2) / math.log1p(-quantile))
