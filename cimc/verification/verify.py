"""Verify a device program: what accuracy chips will have, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram
from cimc.verification import golden
from cimc.verification.batches import batch_size, join, pieces, split, subset
from cimc.verification.chips import Drawn, draw_chips
from cimc.verification.data import Data, check_data
from cimc.verification.effects import Names, Selection, Time, select
from cimc.verification.float_layers import FloatLayers
from cimc.verification.gates import Gate
from cimc.verification.options import CHIPS, Mode, Options, Progress, Sequence, silent
from cimc.verification.per_layer import MODES, LayerSnr, LayerTally, layer_operations, tapped
from cimc.verification.reference import Reference, reference_outputs
from cimc.verification.report import Findings, VerifyReport, make_report
from cimc.verification.runners import executors
from cimc.verification.scoring import (
    Baseline,
    ExecutorFactory,
    Runner,
    make_baseline,
    score,
    score_outputs,
)

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
        executor_factory: Makes the runners; the reference executor by default.
        progress: Told how far the work is.

    Raises:
        UsageError: CIMC-U02 a value out of range, CIMC-U03 a gate that does not apply, CIMC-U04
            nothing to verify with, CIMC-U06 ``only`` beside ``without``, CIMC-U08 not a time,
            CIMC-U47 an unknown non-ideality.
        ModelError: CIMC-M71..M89, the data or the reference do not fit the program.
    """
    options = Options(
        chips, mode, min_accuracy, max_drop, quantile, confidence, sequence, seed,
        only, without, at,
    )  # fmt: skip
    options.check()
    selection = select(program, only, without, at, mode)
    factory = executor_factory or executors(selection)
    if data is None and (reference is None or program.golden is None):
        return golden.verify_golden(program, options, selection, factory, progress)
    arrays = data if data is not None else golden.inputs_of(program)
    checked = check_data(arrays, program.inputs)
    job = _Verification(program, reference, checked, options, selection, factory, progress)
    return job.report()


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
        self._batch = batch_size(data)
        self._feeds = split(data, program.inputs, batched=program.batched, batch=self._batch)
        self._warnings: list[str] = []

    def report(self) -> VerifyReport:
        """Do it."""
        started = time.perf_counter()
        options = self._options
        ideal = self._factory(self._program, "ideal", options.seed)
        noise_free = self._factory(self._program, "noise-free", options.seed)
        chip = self._factory(self._program, "chip", options.seed)
        own = self._outputs(ideal)
        baseline = self._baseline(own)
        gate = self._gate(baseline)
        exact = score_outputs(own, baseline)
        free = score(noise_free, self._feeds, baseline, self._share("noise-free"))
        if options.mode == "ideal":
            drawn = Drawn.single(exact, baseline, gate)
        else:
            drawn = draw_chips(
                chip,
                self._feeds,
                baseline,
                options,
                gate,
                random=bool(self._program.layers) and self._selection.random,
                progress=self._progress,
            )
        layers = self._layers(ideal, noise_free, ideal if options.mode == "ideal" else chip)
        findings = Findings(
            metric=baseline.metric,
            baseline="ideal" if self._reference is None else "float",
            reference=self._reference_figure(baseline),
            ideal=exact.get(baseline.metric),
            noise_free=free.get(baseline.metric),
            samples=self._data.samples,
            layers=layers,
            seconds=time.perf_counter() - started,
            warnings=tuple(self._warnings),
        )
        return make_report(options, self._selection, gate, drawn, findings)

    def _outputs(self, runner: Runner) -> dict[str, Array]:
        parts = []
        for i, feed in enumerate(self._feeds):
            parts.append(dict(runner.run(feed).outputs))
            self._progress("ideal", (i + 1) / len(self._feeds))
        return join(parts)

    def _baseline(self, own: Mapping[str, Array]) -> Baseline:
        self._progress("float reference", 0.0)
        wanted: Mapping[str, Array] = own
        if self._reference is not None:
            wanted = reference_outputs(
                self._reference, self._data, batched=self._program.batched, batch=self._batch
            )
        else:
            self._warnings.append(
                "no reference: figures are against the program's own ideal mode; "
                "give the original model with --reference"
            )
        self._progress("float reference", 1.0)
        baseline = make_baseline(wanted, own, self._data.labels)
        if baseline.skipped:
            self._warnings.append(f"outputs not compared: {', '.join(baseline.skipped)}")
        return baseline

    def _reference_figure(self, baseline: Baseline) -> float | None:
        if self._reference is None or baseline.metric == "snr_db":
            return None
        return baseline.top1 if baseline.metric == "top1" else 1.0

    def _gate(self, baseline: Baseline) -> Gate | None:
        options = self._options
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
            figure = self._reference_figure(baseline)
            if figure is None:
                raise UsageError(
                    "CIMC-U03",
                    "a drop is measured against the float network, which is not given",
                    where="--max-drop",
                    hint="--reference MODEL.onnx",
                )
            thresholds.append(figure - options.max_drop)
        return Gate(max(thresholds))

    def _layers(self, ideal: Runner, noise_free: Runner, chip: Runner) -> tuple[LayerSnr, ...]:
        operations = layer_operations(self._program)
        if self._reference is None or callable(self._reference) or not operations:
            return ()
        reference = FloatLayers(self._reference, sorted(set(operations.values()) - {""}))
        tally = LayerTally(operations)
        runners = dict(zip(MODES, (ideal, noise_free, chip), strict=True))
        batched, batch = self._program.batched, self._batch
        parts = self._layer_pieces()
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

    def _layer_pieces(self) -> list[Data]:
        """Return the samples of the per-layer figures, few at a time: all layers are held."""
        if not self._program.batched:
            return [self._data]
        few = subset(self._data, LAYER_SAMPLES)
        fixed = [s.shape[0] for s in self._program.inputs if s.shape]
        step = max([1, self._batch // 16, *(d for d in fixed if isinstance(d, int))])
        return list(pieces(few, step))

    def _share(self, what: str) -> Callable[[float], None]:
        return lambda share: self._progress(what, share)
