"""A confidence sequence for the mean of normally distributed figures: narrow, but it assumes that.

Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance" (2023; arXiv 2310.03722), the Gaussian mixture of scale-invariant likelihood ratios,
which goes back to Lai, Annals of Statistics 4 (1976).
"""

from __future__ import annotations

import math

from cimc.verification.intervals import Interval

#: Precision of the prior on the effect size, (mean - m) / sigma: small, as gates lie many standard
#: deviations of a chip away from its mean or nowhere decisive.
_PRECISION = 0.1


class NormalMean:
    """Confidence sequence of the mean of independent normal values of unknown variance.

    With ``S = sum(x - m)`` and ``V = sum((x - m)**2)`` the likelihood ratio against a mean m, the
    scale integrated out and the effect size mixed over N(0, 1/c), is
    ``sqrt(c / (n + c)) * (V / (V - S**2 / (n + c)))**(n / 2)``; it exceeds ``1/alpha`` with
    probability at most ``alpha``, ever (Ville).
    """

    def __init__(self, confidence: float, resolution: float = 0.0) -> None:
        """Start without data.

        Args:
            confidence: Probability that all intervals hold, in (0, 1).
            resolution: Step of the values (1/samples for an accuracy): equal values may differ by
                less than half of it, so that their variance counts as resolution**2/12 at least.
        """
        self._log_rich = math.log(1.0 / (1.0 - confidence))
        self._floor = resolution**2 / 12.0
        self._values: list[float] = []
        self._low, self._high = -math.inf, math.inf

    def update(self, value: float) -> Interval:
        """Take the figure of one more chip and return the interval so far."""
        self._values.append(value)
        n = len(self._values)
        mean = math.fsum(self._values) / n
        variance = max(math.fsum((v - mean) ** 2 for v in self._values) / n, self._floor)
        log_limit = (2.0 * self._log_rich + math.log1p(n / _PRECISION)) / n
        share = -math.expm1(-log_limit)  # largest S**2 / (n + c) / V that is not excluded
        room = n / (n + _PRECISION) - share
        if room > 0.0:
            half = math.sqrt(variance * share / room)
            self._low, self._high = max(self._low, mean - half), min(self._high, mean + half)
        low = None if math.isinf(self._low) else self._low
        high = None if math.isinf(self._high) else self._high
        return Interval(low, high, "normal-sequence")
