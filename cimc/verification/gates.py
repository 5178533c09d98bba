"""Gates: what the accuracy over chips must reach, and when that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cimc.verification.confidence_sequence import BoundedMean, Quantile, bounded_interval
from cimc.verification.intervals import Interval, order_statistic, student
from cimc.verification.normal_sequence import NormalMean

Decision = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True)
class Gate:
    """The lower bound of the mean, or of a quantile, over chips must reach a threshold.

    Attributes:
        threshold: Least acceptable value, in units of the metric.
    """

    threshold: float

    def decide(self, interval: Interval) -> Decision:
        """Return what an interval says.

        ``passed`` when the lower bound reaches the threshold, ``failed`` when the upper does not.
        """
        if interval.low is not None and interval.low >= self.threshold:
            return "passed"
        if interval.high is not None and interval.high < self.threshold:
            return "failed"
        return "undecided"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is estimated over chips, and how.

    Attributes:
        confidence: Promise for the reported interval, whenever sampling stopped, in (0, 1).
        quantile: Share of chips below the estimated value; None estimates the mean.
        bounded: The values lie in [0, 1].
        normal: Early looks may assume normally distributed values, as the last look does.
        resolution: Step of the values; 0 when they are continuous.
    """

    confidence: float
    quantile: float | None
    bounded: bool
    normal: bool = False
    resolution: float = 0.0

    def final(self, values: Sequence[float], confidence: float) -> Interval:
        """Return the interval at a number of chips fixed beforehand.

        Student's interval of equal values has no width though the next chip may differ; the
        bounded one is given instead where the metric allows it.
        """
        if self.quantile is not None:
            return order_statistic(values, self.quantile, confidence)
        if self.bounded and len(values) > 1 and min(values) == max(values):
            return bounded_interval(values, confidence)
        interval = student(values, confidence)
        if not self.bounded or interval.low is None or interval.high is None:
            return interval
        return Interval(max(interval.low, 0.0), min(interval.high, 1.0), interval.method)

    def sequence(self, confidence: float) -> BoundedMean | NormalMean | Quantile | None:
        """Return the anytime-valid counterpart, None for the mean of an unbounded metric."""
        if self.quantile is not None:
            return Quantile(self.quantile, confidence)
        if self.normal:
            return NormalMean(confidence, self.resolution)
        return BoundedMean(confidence) if self.bounded else None


class Decider:
    """Watches chips come in, and says when to stop.

    With a gate, half of the error probability is spent on the looks after every chip (a confidence
    sequence) and half on the last look (the interval for a fixed number of chips); their sum is
    what was promised, so the reported interval holds with the stated confidence whenever and why
    ever sampling stopped.  Without a gate there is one look, and it gets all.
    """

    def __init__(self, estimate: Estimate, gate: Gate | None) -> None:
        """Start without chips.

        Args:
            estimate: What is estimated.
            gate: Threshold; None: never stop early.
        """
        self._estimate = estimate
        self._gate = gate
        self._sequence = None
        self._last_look = estimate.confidence
        if gate is not None:
            half = 1.0 - (1.0 - estimate.confidence) / 2
            self._sequence = estimate.sequence(half)
            self._last_look = half if self._sequence is not None else estimate.confidence
        self._values: list[float] = []
        self.interval = Interval(None, None, "none")
        self.decision: Decision = "undecided"

    def update(self, value: float) -> bool:
        """Take one chip's figure; return whether the gate is decided and sampling can stop."""
        self._values.append(value)
        if self._sequence is None or self._gate is None:
            return False
        self.interval = self._sequence.update(value)
        self.decision = self._gate.decide(self.interval)
        return self.decision != "undecided"

    def finish(self) -> Decision:
        """Take the last look, if nothing was decided before it, and return the decision."""
        if self.decision == "undecided":
            self.interval = self._estimate.final(self._values, self._last_look)
            if self._gate is not None:
                self.decision = self._gate.decide(self.interval)
        return self.decision
