"""Confidence sequences: intervals that hold at all numbers of chips at once.

Whoever looks after every chip and stops when he likes what he sees breaks an ordinary interval.
These do not break: with probability ``confidence`` *every* interval of the sequence is right.

The mean of figures in [0, 1]: hedged capital process of Waudby-Smith and Ramdas, "Estimating means
of bounded random variables by betting", JRSS-B 86 (2024; arXiv 2010.09686, 2023), section 4
(Theorem 3), with its predictable plug-in bets.  A quantile: Howard and Ramdas, "Sequential
estimation of quantiles with applications to A/B testing and best-arm identification", Bernoulli 28
(2022), for one fixed quantile, with the beta-binomial mixture in place of their stitched boundary.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cimc.verification.intervals import Interval

Floats = npt.NDArray[np.float64]

#: Largest share of the capital at stake in one bet, the paper's c; 1/2 and 3/4 are its choices.
_STAKE = 0.75
#: Bisection steps; the bounds are on the safe side by less than 2**-22.
_STEPS = 22
#: Keeps the stake finite where m is zero.
_TINY = 1e-12


class BoundedMean:
    """Confidence sequence of the mean of independent values in [0, 1] of any distribution.

    A gambler who bets that the mean is above ``m`` keeps, if it is not, a capital that exceeds
    ``2/alpha`` with probability at most ``alpha/2``, ever (Ville); all ``m`` at which he got
    that rich are excluded from below.  A second gambler bets the other way.
    """

    def __init__(self, confidence: float) -> None:
        """Start without data.

        Args:
            confidence: Probability that all intervals hold, in (0, 1).
        """
        self._log_rich = math.log(2.0 / (1.0 - confidence))
        self._values: list[float] = []
        self._bets: list[float] = []
        self._sum = 0.0
        self._squares = 0.0
        self._edges: Floats = np.zeros((2, 1))

    def update(self, value: float) -> Interval:
        """Take the figure of one more chip and return the interval so far.

        Args:
            value: In [0, 1].
        """
        t = len(self._values) + 1
        # The bet on this value rests on earlier values only: that is what makes it fair.
        variance = (0.25 + self._squares) / t
        self._bets.append(math.sqrt(2.0 * self._log_rich / (variance * t * math.log1p(t))))
        self._values.append(value)
        self._sum += value
        self._squares += (value - (0.5 + self._sum) / (t + 1)) ** 2
        self._tighten()
        low, high = float(self._edges[0, 0]), 1.0 - float(self._edges[1, 0])
        return Interval(low, high, "bounded-sequence")

    def _tighten(self) -> None:
        """Move each edge to the largest m at which betting on a mean above m made rich.

        The upper edge is the lower edge of the values turned around, ``1 - x``; both at once.
        """
        values, bets = np.array(self._values), np.array(self._bets)
        both = np.stack([values, 1.0 - values])
        low = self._edges
        # Nobody gets rich betting on more than was ever seen.
        high = np.maximum(low, both.max(axis=1, keepdims=True))
        for _ in range(_STEPS):
            middle = np.maximum((low + high) / 2, _TINY)
            # The log capital falls as m grows: the stake is capped at a share of the capital.
            gains = np.minimum(bets, _STAKE / middle) * (both - middle)
            rich = np.log1p(gains).sum(axis=1, keepdims=True) >= self._log_rich
            low, high = np.where(rich, middle, low), np.where(rich, high, middle)
        self._edges = low


def bounded_interval(values: Sequence[float], confidence: float) -> Interval:
    """Return an interval of the mean of values in [0, 1] that assumes nothing else of them.

    Wider than Student's, because rare catastrophic chips cannot be ruled out by few good ones.

    Args:
        values: One figure a chip, each in [0, 1].
        confidence: Coverage, in (0, 1).
    """
    sequence = BoundedMean(confidence)
    interval = Interval(0.0, 1.0, "bounded")
    for value in values:
        interval = sequence.update(value)
    return Interval(interval.low, interval.high, "bounded")


class Quantile:
    """Confidence sequence of one quantile of independent values of any distribution.

    The number of values at or below the quantile is a sum of independent indicators.  Its
    likelihood ratio, a beta mixture over the alternatives against the quantile itself, exceeds
    ``1/alpha`` with probability at most ``alpha``, ever (Ville); counts beyond that are excluded.
    """

    def __init__(self, quantile: float, confidence: float) -> None:
        """Start without data.

        Args:
            quantile: In (0, 1).
            confidence: Probability that all intervals hold, in (0, 1).
        """
        self._quantile = quantile
        self._log_rich = math.log(1.0 / (1.0 - confidence))
        self._ordered: list[float] = []
        self._low: float | None = None
        self._high: float | None = None

    def update(self, value: float) -> Interval:
        """Take the figure of one more chip and return the interval so far."""
        insort(self._ordered, value)
        n = len(self._ordered)
        counts = range(n + 1)
        likely = [k for k in counts if self._log_ratio(k, n) < self._log_rich]
        least, most = likely[0], likely[-1]
        if least >= 1:
            bound = self._ordered[least - 1]
            self._low = bound if self._low is None else max(self._low, bound)
        if most < n:
            bound = self._ordered[most]
            self._high = bound if self._high is None else min(self._high, bound)
        return Interval(self._low, self._high, "order-statistic-sequence")

    def _log_ratio(self, count: int, n: int) -> float:
        """Return the log of the mixture likelihood of a count against the quantile's own."""
        # A Beta(2q, 2(1-q)) prior has the quantile as its mean, so neither side is favoured.
        a, b = 2.0 * self._quantile, 2.0 * (1.0 - self._quantile)
        mixture = _log_beta(count + a, n - count + b) - _log_beta(a, b)
        return mixture - (
            count * math.log(self._quantile) + (n - count) * math.log1p(-self._quantile)
        )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
