"""Accuracy against every non-ideality, alone and all but each, or against one swept parameter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.ir.network import Array
from cimc.passbase import Progress, silent
from cimc.pipeline.sensitivity_compile import Compiler
from cimc.pipeline.sensitivity_plan import Plan, Point, one_by_one, sweep
from cimc.pipeline.sensitivity_report import (
    PointResult,
    SensitivityReport,
    restored,
    result_of,
    with_gains,
)
from cimc.pipeline.sensitivity_store import (
    Store,
    digest_of_file,
    digest_of_program,
)
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.verification.batches import subset
from cimc.verification.chips import draw_chips, varies
from cimc.verification.data import Data, check_data, digest_of_data, load_data
from cimc.verification.effects import Selection, Time, seconds_of, select
from cimc.verification.evaluation import Evaluation
from cimc.verification.options import CHIPS, Options
from cimc.verification.reference import Reference
from cimc.verification.report import finite
from cimc.verification.runners import executors
from cimc.version import __version__


def sensitivity(
    program: DeviceProgram,
    *,
    reference: Reference,
    data: Mapping[str, Array] | str | Path,
    sweep: str | None = None,
    output: str | Path | None = None,
    chips: int = CHIPS,
    samples: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    at: Time = None,
    calibration: Mapping[str, Array] | str | Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
    found: Callable[[PointResult], None] = lambda point: None,
) -> SensitivityReport:
    """Measure what each non-ideality costs, or how accuracy depends on one parameter.

    Args:
        program: What to study.
        reference: The original model: path of an ONNX file, or (without sweeps that need the
            model compiled) a function.
        data: One array an input by name, optional ``labels``; or the path of an ``.npz``.
        sweep: ``NAME=V,V,...``, see :func:`cimc.pipeline.sensitivity_plan.sweep`; None: every
            non-ideality the target describes alone, and all but each.
        output: SVG file to write; finished points are kept beside it, as ``.json``.
        chips: Chips a point.
        samples: Use the first samples only; None: all.
        seed: Of the first chip; every point has the same chips.
        confidence: Of the intervals of the mean over chips, in (0, 1).
        at: Time after programming, written (``1d``) or in seconds; None: the target's.
        calibration: Data to compile with again; None: those the program keeps.
        resume: Take over points that are finished.
        progress: Told how far the work is.
        found: Given every point as it is finished.

    Raises:
        UsageError: CIMC-U02 a value out of range, CIMC-U08 not a time, CIMC-U09 not a sweep,
            CIMC-U10 finished points of another study, CIMC-U11 the model cannot be compiled again.
        TargetError: CIMC-T03..T05, a value the target cannot have.
        ModelError: CIMC-M70..M89, data or reference do not fit the program.
    """
    options = Options(chips=chips, seed=seed, confidence=confidence, at=at)
    options.check()
    if samples is not None and samples < 1:
        raise UsageError("CIMC-U02", f"{samples} samples", where="--samples", hint="1 or more")
    study = _Study(program, reference, data, options, samples, calibration)
    return study.report(sweep, output, resume=resume, progress=progress, found=found)


class _Study:
    """One program, one data set, one baseline."""

    def __init__(
        self,
        program: DeviceProgram,
        reference: Reference,
        data: Mapping[str, Array] | str | Path,
        options: Options,
        samples: int | None,
        calibration: Mapping[str, Array] | str | Path | None,
    ) -> None:
        arrays = load_data(data) if isinstance(data, str | Path) else data
        checked = check_data(arrays, program.inputs)
        self._data = checked if samples is None else subset(checked, samples)
        self._program, self._reference, self._options = program, reference, options
        self._digest = digest_of_program(program)
        self._compiler = Compiler(program, reference, calibration)

    def report(
        self,
        text: str | None,
        output: str | Path | None,
        *,
        resume: bool,
        progress: Progress,
        found: Callable[[PointResult], None],
    ) -> SensitivityReport:
        """Measure all points that are not there yet."""
        started = time.perf_counter()
        plan = self._plan(text)
        picture = None if output is None else Path(output)
        store = Store(
            None if picture is None else picture.with_suffix(".json"),
            self._settings(),
            resume=resume,
        )
        resumed = sum(point.key in store.records for point in plan.points)
        own = select(self._program)
        ideal = executors(own)(self._program, "ideal", 0)
        evaluation = Evaluation(self._program, self._reference, self._data, ideal, progress)
        free = executors(own)(self._program, "noise-free", 0)
        noise_free = evaluation.score(free, "noise-free").get(evaluation.baseline.metric)
        points = self._points(plan, store, evaluation, progress, found)
        report = SensitivityReport(
            program=self._digest,
            metric=evaluation.baseline.metric,
            baseline=evaluation.against,
            reference=evaluation.reference_figure,
            ideal=evaluation.ideal.get(evaluation.baseline.metric),
            noise_free=noise_free,
            parameter=plan.parameter,
            unit=plan.unit,
            points=with_gains(points, self._options.confidence),
            chips=self._options.chips,
            samples=self._data.samples,
            seed=self._options.seed,
            confidence=self._options.confidence,
            compiled=self._compiler.compiled,
            resumed=resumed,
            picture=None if picture is None else str(picture),
            seconds=time.perf_counter() - started,
            warnings=evaluation.warnings + self._notes(),
        )
        if picture is not None:
            from cimc.pipeline.sensitivity_picture import write_picture

            write_picture(report, picture)
            store.write({"report": report.to_json()})
        return report

    def _plan(self, text: str | None) -> Plan:
        at_s = seconds_of(self._options.at)
        if text is None:
            return one_by_one(self._program, at_s)
        target = Target.from_plain(dict(self._program.target), name="the program's target")
        return sweep(target, text, at_s)

    def _settings(self) -> dict[str, Any]:
        reference, calibration = self._reference, self._compiler.data
        return {
            "program": self._digest,
            "reference": "" if callable(reference) else digest_of_file(reference),
            "data": digest_of_data(self._data),
            "calibration": _digest_of_calibration(calibration),
            "samples": self._data.samples,
            "chips": self._options.chips,
            "seed": self._options.seed,
            "confidence": self._options.confidence,
            "at": seconds_of(self._options.at),
            "cimc": __version__,
        }

    def _points(
        self,
        plan: Plan,
        store: Store,
        evaluation: Evaluation,
        progress: Progress,
        found: Callable[[PointResult], None],
    ) -> list[PointResult]:
        count, points = len(plan.points), []
        for number, point in enumerate(plan.points):
            if point.key not in store.records:

                def told(what: str, share: float, number: int = number) -> None:
                    progress("points", (number + (share if what == "chips" else 0.0)) / count)

                told("", 0.0)
                result = self._measure(point, evaluation, told)
                store.add(point.key, finite(asdict(result)))
            points.append(restored(store.records[point.key], point))
            found(points[-1])
        progress("points", 1.0)
        return points

    def _measure(self, point: Point, evaluation: Evaluation, progress: Progress) -> PointResult:
        started = time.perf_counter()
        program = self._compiler.program(point)
        selection = _selection(program, point)
        options = self._options
        make = executors(selection)
        free = None
        if point.compiled:
            runner = make(program, "noise-free", options.seed)
            free = evaluation.score(runner, "noise-free").get(evaluation.baseline.metric)
        drawn = draw_chips(
            make(program, "chip", options.seed),
            evaluation.feeds,
            evaluation.baseline,
            options,
            None,
            random=varies(program, options, selection),
            progress=progress,
        )
        seconds = time.perf_counter() - started
        return result_of(point, selection, drawn, free, program.arrays, seconds)

    def _notes(self) -> tuple[str, ...]:
        if not self._compiler.compiled:
            return ()
        samples = self._compiler.samples
        data = "the data given" if samples is None else f"the {samples} samples the program keeps"
        if self._compiler.data is None:
            data = "no data, as the program was"
        times = self._compiler.compiled
        return (f"the model was compiled again for {times} points, calibrated on {data}",)


def _digest_of_calibration(data: Mapping[str, Array] | str | Path | None) -> str | None:
    if data is None or isinstance(data, str | Path):
        return None if data is None else digest_of_file(data)
    return digest_of_data(Data(data, None, 0))


def _selection(program: DeviceProgram, point: Point) -> Selection:
    if point.effects is None:
        return select(program, at=point.at_s)
    return select(program, only=point.effects, at=point.at_s)
