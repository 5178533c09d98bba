"""What a sensitivity study found, in stable names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from cimc.errors import UsageError
from cimc.pipeline.sensitivity_plan import Point
from cimc.verification.chips import Drawn
from cimc.verification.effects import Selection
from cimc.verification.intervals import Interval, student
from cimc.verification.report import finite


@dataclass(frozen=True, slots=True)
class PointResult:
    """What one point gave; figures in units of the study's metric.

    Attributes:
        label: For people.
        group: ``all``, ``alone``, ``all but``, or ``sweep``.
        value: Of the swept parameter, as written.
        x: The same as a number in the study's unit; None where it is none.
        effects: Non-idealities the chips had.
        at_s: Time after programming [s].
        mean: Over chips.
        std: Over chips; None for fewer than two.
        min: Worst chip.
        max: Best chip.
        ci_low: Lower bound of the mean.
        ci_high: Upper bound.
        interval: How the bounds were found, see :class:`cimc.verification.intervals.Interval`.
        chips: Chips drawn; 1 where all chips are alike.
        values: Of each chip.
        noise_free: The program with converters only, as it was compiled for this point; None for
            points that are the study's own program.
        compiled: Whether the model was compiled for this point.
        arrays: Arrays the program takes.
        seconds: Wall time [s].
        gain: Of a point without one non-ideality: mean over those with all of them, chip by chip;
            None for other points.
        gain_low: Lower bound; narrower than the means' own intervals, since both points have the
            same chips.
        gain_high: Upper bound.
    """

    label: str
    group: str
    value: str
    x: float | None
    effects: tuple[str, ...]
    at_s: float
    mean: float
    std: float | None
    min: float
    max: float
    ci_low: float | None
    ci_high: float | None
    interval: str
    chips: int
    values: tuple[float, ...]
    noise_free: float | None
    compiled: bool
    arrays: int
    seconds: float
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


@dataclass(frozen=True, slots=True)
class SensitivityReport:
    """Result of :func:`sensitivity`; :meth:`to_json` has the same names.

    Attributes:
        program: Digest of the program.
        metric: ``top1``, ``agreement`` or ``snr_db``, as in a verification.
        baseline: What it is against: ``float``, or ``ideal`` without a reference.
        reference: The float network's figure.
        ideal: The program with cells exactly at their targets and exact arithmetic.
        noise_free: Ideal plus converters.
        parameter: What was swept; '' for the table of non-idealities.
        unit: Of the swept values.
        points: In order.
        chips: Chips a point, where chips differ.
        samples: Samples each chip ran.
        seed: Of the first chip; every point has the same chips.
        confidence: Of the intervals.
        compiled: How often the model was compiled.
        resumed: Points that were measured before.
        picture: Where the picture was written; None: not.
        seconds: Wall time of this call [s].
        warnings: What the user should know.
    """

    program: str
    metric: str
    baseline: str
    reference: float | None
    ideal: float
    noise_free: float
    parameter: str
    unit: str
    points: tuple[PointResult, ...]
    chips: int
    samples: int
    seed: int
    confidence: float
    compiled: int
    resumed: int
    picture: str | None
    seconds: float
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data: no NaN or infinity (None instead)."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain


def result_of(
    point: Point,
    selection: Selection,
    drawn: Drawn,
    noise_free: float | None,
    arrays: int,
    seconds: float,
) -> PointResult:
    """Put together what was measured at a point."""
    values = drawn.values
    regular = len(values) > 1 and all(map(math.isfinite, values))
    return PointResult(
        label=point.label,
        group=point.group,
        value=point.value,
        x=point.x,
        effects=selection.effects,
        at_s=selection.at_s,
        mean=math.fsum(values) / len(values),
        std=float(np.std(values, ddof=1)) if regular else None,
        min=min(values),
        max=max(values),
        ci_low=drawn.interval.low,
        ci_high=drawn.interval.high,
        interval=drawn.interval.method,
        chips=len(values),
        values=values,
        noise_free=noise_free,
        compiled=point.compiled,
        arrays=arrays,
        seconds=seconds,
    )


def with_gains(points: Sequence[PointResult], confidence: float) -> tuple[PointResult, ...]:
    """Return the points, those without one non-ideality compared with all, chip by chip.

    Args:
        points: Of a study.
        confidence: Of Student's interval of the mean difference, in (0, 1).
    """
    whole = next((p for p in points if p.group == "all"), None)
    if whole is None:
        return tuple(points)
    return tuple(_gained(p, whole, confidence) if p.group == "all but" else p for p in points)


def _gained(point: PointResult, whole: PointResult, confidence: float) -> PointResult:
    differences = np.subtract(point.values, whole.values)  # one value stands for every chip
    if not np.isfinite(differences).all():
        return point
    interval = Interval(None, None, "")
    if point.interval == whole.interval == "exact":
        interval = Interval(float(differences[0]), float(differences[0]), "exact")
    elif np.ptp(differences) > 0.0:  # equal differences of few chips say nothing of others
        interval = student(differences.tolist(), confidence)
    return replace(
        point, gain=float(differences.mean()), gain_low=interval.low, gain_high=interval.high
    )


def restored(record: Mapping[str, Any], point: Point) -> PointResult:
    """Return a kept point; an infinite figure was kept as none."""
    try:
        values = {f.name: record[f.name] for f in fields(PointResult)}
    except KeyError as error:
        raise UsageError(
            "CIMC-U10",
            f"point {point.label!r} was kept without {error}",
            hint="leaving --resume out to start anew",
        ) from error
    for name in ("mean", "min", "max"):
        values[name] = float("inf") if values[name] is None else values[name]
    for name in ("effects", "values"):
        values[name] = tuple(values[name])
    return PointResult(**values)
