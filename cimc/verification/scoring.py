"""Score one run of a program over a data set against the float network and the labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from cimc.errors import ModelError
from cimc.program.model import DeviceProgram
from cimc.verification.batches import Feed
from cimc.verification.metrics import (
    Classes,
    class_axis,
    decibel,
    decisions,
    powers,
    share_equal,
)

Array = npt.NDArray[Any]
Metric = Literal["top1", "agreement", "snr_db"]


class Result(Protocol):
    """What a run gives."""

    @property
    def outputs(self) -> Mapping[str, Array]:
        """Outputs of the network by name."""

    @property
    def layers(self) -> Mapping[str, Array]:
        """Outputs of the operations that read a crossbar layer, when tapped."""


class Runner(Protocol):
    """What runs a program: :class:`cimc.executor.Executor`, or a stand-in of a test."""

    def run(self, inputs: Mapping[str, Array], taps: bool = False) -> Result:
        """Run one batch."""

    def chip(self, seed: int) -> Runner:
        """Return the same program on another chip."""


#: Makes the runner of a program in a mode (``ideal``, ``noise-free``, ``chip``) with a chip seed.
ExecutorFactory = Callable[[DeviceProgram, str, int], Runner]


@dataclass(frozen=True, slots=True)
class Score:
    """How well one chip does.

    Attributes:
        top1: Share of right decisions; None without labels.
        agreement: Share of decisions equal to the baseline's; None when outputs name no class.
        snr_db: Signal-to-noise of the outputs against the baseline [dB].
    """

    top1: float | None
    agreement: float | None
    snr_db: float

    def get(self, metric: Metric) -> float:
        """Return one figure; NaN when it is not defined."""
        value = {"top1": self.top1, "agreement": self.agreement, "snr_db": self.snr_db}[metric]
        return math.nan if value is None else value


@dataclass(frozen=True, slots=True)
class Baseline:
    """What chips are compared with.

    Attributes:
        outputs: Of the float network (or the ideal program), by name, all samples.
        primary: The output decisions are read from.
        decisions: Classes of the primary output; None when it names none.
        labels: Right answers of the shape of the decisions; None without.
        top1: The baseline's own share of right decisions; None without labels.
        skipped: Outputs that cannot be compared (not numeric, or of another shape).
    """

    outputs: Mapping[str, Array]
    primary: str
    decisions: Classes | None
    labels: Classes | None
    top1: float | None
    skipped: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """The figure that says most: top1 with labels, agreement of decisions, else snr_db."""
        if self.labels is not None:
            return "top1"
        return "agreement" if self.decisions is not None else "snr_db"


def make_baseline(
    wanted: Mapping[str, Array], program: Mapping[str, Array], labels: Classes | None
) -> Baseline:
    """Return the baseline for a data set.

    Args:
        wanted: Outputs of the float network.
        program: Outputs of the ideal program, for the shapes.
        labels: Right answers, first axis samples; trailing axes of length one are ignored.

    Raises:
        ModelError: CIMC-M89 no output can be compared, CIMC-M77 labels do not fit the outputs.
    """
    usable = {n: a for n, a in wanted.items() if _comparable(a, program.get(n))}
    if not usable:
        raise ModelError(
            "CIMC-M89",
            "no output of the program can be compared with the reference: "
            f"the program has {_described(program)}, the reference {_described(wanted)}",
            where="the reference",
            hint="the model the program was compiled from",
        )
    primary = next(iter(usable))
    chosen = decisions(usable[primary])
    if labels is None:
        skipped = tuple(n for n in wanted if n not in usable)
        return Baseline(usable, primary, chosen, None, None, skipped)
    if chosen is None:
        raise ModelError(
            "CIMC-M77",
            f"output '{primary}' of shape {list(usable[primary].shape)} names no classes, "
            "so labels cannot be used",
            where="array 'labels'",
            hint="leaving labels out: outputs are then compared by signal-to-noise ratio",
        )
    fitted = labels.reshape(chosen.shape) if labels.size == chosen.size else labels
    right = share_equal(chosen, fitted)
    _require_classes(fitted, usable[primary])
    skipped = tuple(n for n in wanted if n not in usable)
    return Baseline(usable, primary, chosen, fitted, right, skipped)


def _require_classes(labels: Classes, scores: Array) -> None:
    """Refuse labels that no decision can equal: counted from 1, or of another task."""
    axis = class_axis(scores)
    if axis is None:
        return
    wrong = labels[(labels < 0) | (labels >= scores.shape[axis])]
    if wrong.size:
        raise ModelError(
            "CIMC-M77",
            f"label {wrong[0]} is none of the {scores.shape[axis]} classes of the network",
            where="array 'labels'",
            hint=f"class numbers 0 to {scores.shape[axis] - 1}; samples without one left out",
        )


def score(
    runner: Runner,
    feeds: Sequence[Feed],
    baseline: Baseline,
    progress: Callable[[float], None] | None = None,
) -> Score:
    """Run a program over a data set and score it; outputs are not kept.

    Args:
        runner: The program in some mode, on some chip.
        feeds: Runs, in the order of the samples.
        baseline: What to compare with.
        progress: Told the share done after each run.
    """
    tally = _Tally(baseline)
    for i, feed in enumerate(feeds):
        tally.add(runner.run(feed).outputs)
        if progress is not None:
            progress((i + 1) / len(feeds))
    return tally.score()


def score_outputs(outputs: Mapping[str, Array], baseline: Baseline) -> Score:
    """Score the outputs of a whole data set."""
    tally = _Tally(baseline)
    tally.add(outputs)
    return tally.score()


class _Tally:
    """Running sums over the samples of one chip."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._taken = dict.fromkeys(baseline.outputs, 0)
        self._signal = dict.fromkeys(baseline.outputs, 0.0)
        self._noise = dict.fromkeys(baseline.outputs, 0.0)
        self._decided: list[Classes] = []

    def add(self, outputs: Mapping[str, Array]) -> None:
        """Take in the outputs of the next run."""
        for name, wanted in self._baseline.outputs.items():
            value = np.asarray(outputs[name])
            start = self._taken[name]
            expected = wanted.reshape(-1)[start : start + value.size]
            self._taken[name] = start + value.size
            if expected.size != value.size:
                self._noise[name] = math.inf
                continue
            signal, noise = powers(expected, value)
            self._signal[name] += signal
            self._noise[name] += noise
        chosen = decisions(np.asarray(outputs[self._baseline.primary]))
        if chosen is not None:
            self._decided.append(chosen.reshape(-1))

    def score(self) -> Score:
        """Return the figures of the whole data set."""
        return Score(
            self._share(self._baseline.labels),
            self._share(self._baseline.decisions),
            self._snr_db(),
        )

    def _share(self, right: Classes | None) -> float | None:
        if right is None:
            return None
        decided = np.concatenate(self._decided) if self._decided else np.empty(0, np.int64)
        # A chip that gives another number of decisions (detections) is right in none of them.
        return share_equal(decided, right.reshape(-1)) if decided.size == right.size else 0.0

    def _snr_db(self) -> float:
        """Return the ratio, noise-to-signal averaged over outputs that carry anything."""
        for name, wanted in self._baseline.outputs.items():
            if self._taken[name] != wanted.size:
                self._noise[name] = math.inf
        ratios = [
            self._noise[n] / s if (s := self._signal[n]) else math.inf
            for n in self._baseline.outputs
            if self._signal[n] or self._noise[n]
        ]
        return decibel(1.0, math.fsum(ratios) / len(ratios)) if ratios else math.inf


def _comparable(wanted: Array, value: Array | None) -> bool:
    numeric = wanted.dtype.kind in "fiubc" or wanted.dtype.kind == "V"
    return value is not None and numeric and wanted.shape == value.shape and wanted.size > 0


def _described(outputs: Mapping[str, Array]) -> str:
    return ", ".join(f"'{n}' {list(a.shape)}" for n, a in outputs.items()) or "none"
