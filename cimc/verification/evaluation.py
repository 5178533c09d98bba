"""One data set and what chips are compared with on it; any number of programs can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from cimc.program.model import DeviceProgram
from cimc.verification.batches import batch_size, join, split
from cimc.verification.data import Data
from cimc.verification.options import Progress, silent
from cimc.verification.reference import Reference, reference_outputs
from cimc.verification.scoring import Baseline, Runner, Score, make_baseline, score, score_outputs

Array = npt.NDArray[Any]


class Evaluation:
    """The float network's answers on a data set, and how a program's are scored against them.

    Attributes:
        program: What the ideal figures are of.
        reference: The original model; None: the ideal program stands in for it.
        data: Checked inputs.
        batch: Samples a run.
        feeds: The runs.
        baseline: What chips are compared with.
        ideal: Score of the ideal program.
        warnings: What the user should know.
    """

    def __init__(
        self,
        program: DeviceProgram,
        reference: Reference | None,
        data: Data,
        ideal: Runner,
        progress: Progress = silent,
    ) -> None:
        """Run the float network and the ideal program.

        Args:
            program: A device program.
            reference: The original model.
            data: Checked inputs.
            ideal: The program in ideal mode.
            progress: Told how far the work is.

        Raises:
            ModelError: CIMC-M77, CIMC-M88, CIMC-M89, data or reference do not fit the program.
        """
        self.program, self.reference, self.data = program, reference, data
        self.batch = batch_size(data)
        self.feeds = split(data, program.inputs, batched=program.batched, batch=self.batch)
        self.warnings: tuple[str, ...] = ()
        self._progress = progress
        own = self._outputs(ideal)
        self.baseline = self._baseline(own)
        self.ideal = score_outputs(own, self.baseline)

    @property
    def against(self) -> str:
        """What the figures are against: ``float`` or ``ideal``."""
        return "ideal" if self.reference is None else "float"

    @property
    def reference_figure(self) -> float | None:
        """The float network's own figure; None when it has none."""
        if self.reference is None or self.baseline.metric == "snr_db":
            return None
        return self.baseline.top1 if self.baseline.metric == "top1" else 1.0

    def score(self, runner: Runner, what: str) -> Score:
        """Run a program over the data and score it.

        Args:
            runner: The program in some mode, on some chip.
            what: What to call it to whoever watches.
        """
        return score(runner, self.feeds, self.baseline, lambda share: self._progress(what, share))

    def _outputs(self, runner: Runner) -> dict[str, Array]:
        parts = []
        for i, feed in enumerate(self.feeds):
            parts.append(dict(runner.run(feed).outputs))
            self._progress("ideal", (i + 1) / len(self.feeds))
        return join(parts)

    def _baseline(self, own: Mapping[str, Array]) -> Baseline:
        self._progress("float reference", 0.0)
        wanted: Mapping[str, Array] = own
        if self.reference is not None:
            wanted = reference_outputs(
                self.reference, self.data, batched=self.program.batched, batch=self.batch
            )
        else:
            self.warnings += (
                "no reference: figures are against the program's own ideal mode; "
                "give the original model with --reference",
            )
        self._progress("float reference", 1.0)
        baseline = make_baseline(wanted, own, self.data.labels)
        if baseline.skipped:
            self.warnings += (f"outputs not compared: {', '.join(baseline.skipped)}",)
        return baseline
