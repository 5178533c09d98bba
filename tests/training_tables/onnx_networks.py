"""Three networks that arrived as ONNX, before and after fine-tuning for ``rram`` at 4 levels.

``python -m tests.training_tables.onnx_networks [NAME...] [--write]`` runs what is not in the
cache; ``--write`` makes docs/results/fine-tuning-onnx.md of what is there and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from cimc.executor import Executor
from cimc.pipeline.compile import compile_model
from cimc.program.model import DeviceProgram
from tests.training_tables import stats
from tests.training_tables.onnx_cases import CASES, FOLDER, Case
from tests.zoo.cache import ROOT
from tests.zoo.results import write_table
from tests.zoo.task import reference

PAGE: Final = "fine-tuning-onnx"
COMMAND: Final = "python -m tests.training_tables.onnx_networks"
TARGET: Final = "rram"
LEVELS: Final = 4
CHIPS: Final = 20


@dataclass(slots=True)
class Scores:
    """Percentages: of the float network, of ideal cells, and of each chip."""

    ideal: float = 0.0
    chips: list[float] = field(default_factory=list)


def parts(case: Case) -> list[slice]:
    """Return the test samples of each chip."""
    return [slice(k, None, CHIPS) if case.shared else slice(None) for k in range(CHIPS)]


def scored(program: DeviceProgram, case: Case, seed: int, tell: Callable[[str], None]) -> Scores:
    """Return the scores of a program; chips have seeds of their own for each fine-tuning."""
    test = case.test()

    def score(executor: Executor, part: slice) -> float:
        outputs = executor.run({name: array[part] for name, array in test.items()}).outputs
        right, of = case.judge(outputs[case.output], part)
        return 100 * right / of

    found = Scores(score(Executor(program, "ideal", batch=case.batch), slice(None)))
    tell(f"ideal {found.ideal:.2f}")
    executor: Executor | None = None
    for k, part in enumerate(parts(case)):
        chip = CHIPS * seed + k
        if executor is None:
            executor = Executor(program, "chip", seed=chip, batch=case.batch)
        executor = executor.chip(chip)
        found.chips.append(score(executor, part))
    tell(f"chips {np.mean(found.chips):.2f} ± {np.std(found.chips, ddof=1):.2f}")
    return found


def run(case: Case, seed: int, tell: Callable[[str], None]) -> None:
    """Compile without and with fine-tuning, score both, keep the result."""
    began = time.perf_counter()
    given: dict[str, Any] = {
        "target": TARGET,
        "levels": LEVELS,
        "data": case.calibration(),
        "seed": seed,
        "keep_calibration": False,
        "progress": lambda what, share: tell(f"{what} {share:.2f}") if "epoch" in what else None,
    }
    untrained = case.key(seed).with_suffix(".before")
    if not untrained.is_file():
        before = scored(compile_model(case.model(), **given).program, case, seed, tell)
        _keep(untrained, asdict(before))
    training = {**case.training, "seed": seed}
    start = time.perf_counter()
    result = compile_model(case.model(), train_data=case.train(), training=training, **given)
    seconds = time.perf_counter() - start
    for warning in result.report.warnings:
        tell(warning)
    after = scored(result.program, case, seed, tell)
    row = {
        "before": json.loads(untrained.read_text(encoding="utf-8")),
        "after": asdict(after),
        "train_seconds": seconds,
        "seconds": time.perf_counter() - began,
    }
    _keep(case.key(seed), row)


def _keep(path: Path, row: Mapping[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(row), encoding="utf-8")
    partial.replace(path)


def float_score(case: Case) -> float:
    """Return the score of the network in onnxruntime, kept like the other results."""
    path = case.key(-1)
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_float_score(case)), encoding="utf-8")
    return float(json.loads(path.read_text(encoding="utf-8")))


def _float_score(case: Case) -> float:
    test = case.test()
    samples = len(next(iter(test.values())))
    count, total, step = 0.0, 0.0, case.batch
    if case.name == "mnist-conv":
        step = 1  # the file is for one image
    session = reference(case.model())
    for start in range(0, samples, step):
        part = slice(start, min(samples, start + step))
        outputs = session({name: array[part] for name, array in test.items()})
        right, of = case.judge(outputs[case.output], part)
        count, total = count + right, total + of
    return 100 * count / total


def _row(case: Case) -> list[str]:
    rows = [json.loads(p.read_text()) for s in case.seeds if (p := case.key(s)).is_file()]
    head = [case.name, case.metric, f"{float_score(case):.2f}"]
    if not rows:
        return [*head, *["missing"] * 6]
    before, after = ([r[k] for r in rows] for k in ("before", "after"))

    def chips(side: Sequence[Mapping[str, Any]]) -> str:
        values = np.array([v for r in side for v in r["chips"]])
        return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"

    def ideal(side: Sequence[Mapping[str, Any]]) -> str:
        return f"{np.mean([r['ideal'] for r in side]):.2f}"

    pairs = [zip(r["before"]["chips"], r["after"]["chips"], strict=True) for r in rows]
    gains = [[b - a for a, b in pair] for pair in pairs]
    gain = stats.of(gains) if len(gains) > 1 else stats.estimate(gains[0])
    assert gain is not None
    return [
        *head,
        f"{ideal(before)} / {chips(before)}",
        f"{ideal(after)} / {chips(after)}",
        gain.interval(),
        f"{len(rows)} x {CHIPS}",
        case.about,
        f"{np.mean([r['train_seconds'] for r in rows]) / 60:.1f}",
    ]


NOTE: Final = (
    f"Target `{TARGET}`, {LEVELS} levels a column (Lloyd), every layer analog, the first and the "
    "last too. Before: quantized with calibration data, not trained. Scores in percent: ideal "
    "cells / mean ± standard deviation over chips. The difference is after less before, chip by "
    "chip (same seeds, same samples), with Student's 95 % interval over fine-tunings, over chips "
    "where there is only one. Chips tested have "
    "seeds below 2^40, chips trained on from there on. Training, calibration and test samples are "
    "disjoint. Where the metric counts words or lines, each chip reads its own twentieth of the "
    "test samples."
)


def write() -> None:
    """Write the page of what is there."""
    header = [
        *("network", "metric", "float", "before: ideal / chips", "after: ideal / chips"),
        *("difference", "fine-tunings x chips", "training", "minutes"),
    ]
    title = "Fine-tuning of networks that arrived as ONNX"
    write_table(PAGE, title, COMMAND, header, [_row(c) for c in CASES.values()], NOTE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases named, or write the page."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *CASES], help="all when omitted")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    if given.write:
        write()
        sys.stderr.write(f"{(ROOT / 'docs' / 'results' / PAGE).with_suffix('.md')}\n")
        return 0
    for name in given.names or CASES:
        case = CASES[name]
        for seed in case.seeds:
            start = time.perf_counter()

            def tell(what: str, name: str = name, seed: int = seed, start: float = start) -> None:
                sys.stderr.write(f"{name} {seed} {time.perf_counter() - start:6.0f} s {what}\n")

            if not case.key(seed).is_file():
                run(case, seed, tell)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
