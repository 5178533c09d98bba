"""Verify a device program: what accuracy chips will have, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cimc.errors import UsageError
from cimc.faults import FaultMap, laid_over, same_faults
from cimc.program.model import DeviceProgram
from cimc.verification import golden
from cimc.verification.batches import pieces, split, subset
from cimc.verification.chips import Drawn, draw_chips, varies
from cimc.verification.data import Data, check_data
from cimc.verification.effects import Names, Selection, Time, select
from cimc.verification.evaluation import Evaluation
from cimc.verification.float_layers import FloatLayers
from cimc.verification.gates import Gate
from cimc.verification.measured_chips import Measured, remaining
from cimc.verification.options import CHIPS, Mode, Options, Progress, Sequence, silent
from cimc.verification.per_layer import MODES, LayerSnr, LayerTally, layer_operations, tapped
from cimc.verification.reference import Reference
from cimc.verification.report import Findings, VerifyReport, make_report
from cimc.verification.runners import executors
from cimc.verification.scoring import ExecutorFactory, Runner

Array = npt.NDArray[Any]
#: Samples of the per-layer figures: they are sums over all positions, and all layers are kept.
LAYER_SAMPLES = 32


def verify(
    program: DeviceProgram,
    *,
    reference: Reference | None = None,
    data: Mapping[str, Array] | None = None,
    chips: int = CHIPS,
    mode: Mode = "chip",
    min_accuracy: float | None = None,
    max_drop: float | None = None,
    quantile: float | None = None,
    confidence: float = 0.95,
    sequence: Sequence = "bounded",
    seed: int = 0,
    only: Names = None,
    without: Names = None,
    at: Time = None,
    measured: Measured = None,
    fault_map: FaultMap | str | Path | None = None,
    any_chip: bool = False,
    executor_factory: ExecutorFactory | None = None,
    progress: Progress = silent,
) -> VerifyReport:
    """Run a program on many simulated chips and compare it with the float network.

    Without ``data`` and ``reference`` the program's golden vectors are checked.  With data and no
    reference the program's own ideal mode stands in for the float network.

    Args:
        program: What to verify.
        reference: The original model: path of an ONNX file, or a function.
        data: One array per input by name, first axis samples; optional ``labels``.
        chips: Chips to draw at most; chip ``i`` has seed ``seed + i``.
        mode: ``chip`` for everything, ``ideal`` for exact cells and arithmetic (one run).
        min_accuracy: Gate: least mean (or quantile) of top-1 or agreement, in [0, 1].
        max_drop: Gate: most loss against the float network, in [0, 1].
        quantile: Bound this quantile over chips instead of the mean: with 0.05, what 95 % of
            chips reach.
        confidence: Of the interval and of the gates, in (0, 1).
        sequence: What early decisions of a gate assume of the chips' accuracies: ``bounded``,
            nothing but that they lie in [0, 1]; ``normal``, a normal distribution, as the final
            interval does: decides far earlier when chips are alike.
        seed: Seed of the first chip.
        only: Chips have these non-idealities and no others, see
            ``cimc.targets.compatibility.SWITCHES``; a name or several.
        without: Chips have everything the target describes but these.
        at: Time after programming, written (``1d``) or in seconds; None: the target's.
        measured: Conductances read back from chips instead of simulated ones: a file, or several,
            one a chip, see :func:`cimc.verification.readback.read_readback`.  What stands in
            them already (programming noise, drift, stuck cells, ...) is not simulated on top.
            One chip is one measurement; it is run ``chips`` times when reads fluctuate.
        fault_map: Faults of the chip to verify on, or their file, in place of those the program
            was compiled for; its cells stay as they are.
        any_chip: Let a program for one chip be verified with the fault map of another.
        executor_factory: Makes the runners; the reference executor by default.
        progress: Told how far the work is.

    Raises:
        UsageError: CIMC-U02 a value out of range, CIMC-U03 a gate that does not apply, CIMC-U04
            nothing to verify with, CIMC-U06 ``only`` beside ``without``, CIMC-U08 not a time,
            CIMC-U47 an unknown non-ideality.
        ModelError: CIMC-M71..M89, the data or the reference do not fit the program.
        ProgramError: CIMC-P70..P74, the measured conductances cannot be used.
        FaultMapError: CIMC-F01..F14, the fault map cannot be used.
    """
    options = Options(
        chips, mode, min_accuracy, max_drop, quantile, confidence, sequence, seed,
        only, without, at, measured, fault_map, any_chip,
    )  # fmt: skip
    options.check()
    compiled = program
    told: tuple[str, ...] = ()
    if fault_map is not None:
        program, told = laid_over(program, fault_map, any_chip=any_chip)
    selection = select(program, only, without, at, mode)
    if measured is not None:
        selection = remaining(selection)
    factory = executor_factory or executors(selection, measured)
    if data is None and (reference is None or program.golden is None):
        report = golden.verify_golden(
            program,
            options,
            selection,
            factory,
            progress,
            other_faults=not same_faults(program.faults, compiled.faults),
        )
        return _of_chip(report, program, told)
    arrays = data if data is not None else golden.inputs_of(program)
    checked = check_data(arrays, program.inputs)
    job = _Verification(program, reference, checked, options, selection, factory, progress)
    return _of_chip(job.report(), program, told)


def _of_chip(report: VerifyReport, program: DeviceProgram, told: tuple[str, ...]) -> VerifyReport:
    """Add to a report which chip it is of, and what there is to know of its fault map."""
    chip = None if program.faults is None else program.faults.chip
    return replace(report, chip=chip, warnings=told + report.warnings)


class _Verification:
    """One verification on data."""

    def __init__(
        self,
        program: DeviceProgram,
        reference: Reference | None,
        data: Data,
        options: Options,
        selection: Selection,
        factory: ExecutorFactory,
        progress: Progress,
    ) -> None:
        self._program, self._reference, self._data = program, reference, data
        self._options, self._factory, self._progress = options, factory, progress
        self._selection = selection
        self._warnings: list[str] = []

    def report(self) -> VerifyReport:
        """Do it."""
        started = time.perf_counter()
        options = self._options
        ideal = self._factory(self._program, "ideal", options.seed)
        noise_free = self._factory(self._program, "noise-free", options.seed)
        chip = self._factory(self._program, "chip", options.seed)
        self._warnings += getattr(chip, "warnings", ())  # of measured chips
        evaluation = Evaluation(self._program, self._reference, self._data, ideal, self._progress)
        self._warnings += evaluation.warnings
        metric = evaluation.baseline.metric
        gate = self._gate(evaluation)
        free = evaluation.score(noise_free, "noise-free")
        if options.mode == "ideal":
            drawn = Drawn.single(evaluation.ideal, evaluation.baseline, gate)
        else:
            drawn = draw_chips(
                chip,
                evaluation.feeds,
                evaluation.baseline,
                options,
                gate,
                random=varies(self._program, options, self._selection),
                progress=self._progress,
            )
        shown = ideal if options.mode == "ideal" else chip
        findings = Findings(
            metric=metric,
            baseline=evaluation.against,
            reference=evaluation.reference_figure,
            ideal=evaluation.ideal.get(metric),
            noise_free=free.get(metric),
            samples=self._data.samples,
            layers=self._layers(evaluation.batch, ideal, noise_free, shown),
            seconds=time.perf_counter() - started,
            warnings=tuple(self._warnings),
        )
        return make_report(options, self._selection, gate, drawn, findings)

    def _gate(self, evaluation: Evaluation) -> Gate | None:
        options, baseline = self._options, evaluation.baseline
        if not options.gated:
            return None
        if baseline.metric == "snr_db":
            raise UsageError(
                "CIMC-U03",
                f"output '{baseline.primary}' names no classes, so there is no accuracy to gate",
                where="--min-accuracy or --max-drop",
                hint="reading snr_db from the report instead",
            )
        thresholds = [] if options.min_accuracy is None else [options.min_accuracy]
        if options.max_drop is not None:
            figure = evaluation.reference_figure
            if figure is None:
                raise UsageError(
                    "CIMC-U03",
                    "a drop is measured against the float network, which is not given",
                    where="--max-drop",
                    hint="--reference MODEL.onnx",
                )
            thresholds.append(figure - options.max_drop)
        return Gate(max(thresholds))

    def _layers(
        self, batch: int, ideal: Runner, noise_free: Runner, chip: Runner
    ) -> tuple[LayerSnr, ...]:
        operations = layer_operations(self._program)
        if self._reference is None or callable(self._reference) or not operations:
            return ()
        reference = FloatLayers(self._reference, sorted(set(operations.values()) - {""}))
        tally = LayerTally(operations)
        runners = dict(zip(MODES, (ideal, noise_free, chip), strict=True))
        batched = self._program.batched
        parts = self._layer_pieces(batch)
        for done, part in enumerate(parts):
            self._progress("layers", done / len(parts))
            feeds = split(part, self._program.inputs, batched=batched, batch=batch)
            taps = {mode: tapped(runner, feeds) for mode, runner in runners.items()}
            tally.add(reference.values(part, batched=batched, batch=batch), taps)
        found, unmatched = tally.result()
        if unmatched:
            self._warnings.append(
                f"layers not found in the reference: {', '.join(unmatched[:10])}"
                + (f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else "")
            )
        self._progress("layers", 1.0)
        return tuple(found)

    def _layer_pieces(self, batch: int) -> list[Data]:
        """Return the samples of the per-layer figures, few at a time: all layers are held."""
        if not self._program.batched:
            return [self._data]
        few = subset(self._data, LAYER_SAMPLES)
        fixed = [s.shape[0] for s in self._program.inputs if s.shape]
        step = max([1, batch // 16, *(d for d in fixed if isinstance(d, int))])
        return list(pieces(few, step))
