"""One fine-tuning from beginning to end, as a user would do it, and the scores of its chips."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

import cimc
from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.targets import Target, load_target
from cimc.targets.compatibility import FIXED
from tests.training_tables import networks
from tests.training_tables.chips import matched_delta, tester_cells
from tests.training_tables.jobs import Evaluation, Job, Row
from tests.training_tables.networks import Arrays, Trained

HERE: Final = Path(__file__).parent
#: Samples computed at once; no influence on results but for rounding.
BATCH: Final = 250
#: Word for layers ``digital`` that are the first and the last.
FIRST_LAST: Final = "first-last"
#: Word for a ``delta`` that is worked out, see :func:`tests.training_tables.chips.matched_delta`.
MATCHED: Final = "matched"


def target_of(job: Job) -> Target:
    """Return the chip a job compiles for."""
    own = HERE / f"{job.target}.yaml"
    return load_target(own if own.is_file() else job.target).changed(job.changes)


def train(job: Job, network: Trained) -> tuple[DeviceProgram, dict[str, Any]]:
    """Compile, fine-tuning where asked to; return the program and what was found out before."""
    target = target_of(job)
    found: dict[str, Any] = {}
    given: dict[str, Any] = {
        "target": target,
        "data": network.calibration,
        "seed": job.seed,
        "keep_calibration": False,
        **job.options,
    }
    model = networks.scratch(job.network, job.seed) if job.scratch else network.onnx
    if given.get("digital") == FIRST_LAST:
        whole = list(cimc.compile(model, target="ideal").layers)
        given["digital"] = (whole[0], whole[-1])
    if job.training is None:
        return cimc.compile(model, **given), found
    training = {**job.training, "seed": job.seed}
    if training.get("delta") == MATCHED:
        training["delta"] = matched_delta(cimc.compile(model, **given), target)
        found["delta"] = training["delta"]
    data = first(network.train, job.samples)
    if network.loss is not None:
        given["loss"] = network.loss
    return cimc.compile(model, train_data=data, training=training, **given), found


def first(data: Arrays, samples: int) -> dict[str, Any]:
    """Return the first samples of data."""
    return {name: array[:samples] for name, array in data.items()}


def share(data: Arrays, part: int, parts: int) -> dict[str, Any]:
    """Return every ``parts``-th sample from ``part`` on."""
    return {name: array[part::parts] for name, array in data.items()}


def scores(program: DeviceProgram, network: Trained, job: Job, how: Evaluation) -> list[float]:
    """Return the score of each chip; one of all samples where every chip is the same.

    Each chip is given its own share of the test samples, so that all chips and all samples count.
    """
    target = Target.from_plain(program.target).changed(how.changes)
    there = replace(program, target=target.plain())
    test = network.test if how.samples is None else first(network.test, how.samples)
    effects = None if how.effects is None else frozenset(how.effects)
    if how.mode in ("ideal", "noise-free") or (effects is not None and effects <= FIXED):
        executor = Executor(there, how.mode, batch=BATCH, effects=effects)
        return [score(executor, network, test)]
    found = []
    drawn: Executor | None = None
    for k, chip in enumerate(job.chips):
        if how.mode == "tester":
            cells = tester_cells(program, chip, how.spread_us)
            executor = Executor(there, "chip", seed=chip, batch=BATCH, measured=cells)
        else:
            if drawn is None:
                drawn = Executor(there, "chip", seed=chip, batch=BATCH, effects=effects)
            executor = drawn = drawn.chip(chip)
        part = share(test, k, len(job.chips)) if network.shared else test
        found.append(score(executor, network, part))
    return found


def score(executor: Executor, network: Trained, data: Arrays) -> float:
    """Return the network's metric of one chip on labelled data."""
    inputs = {name: array for name, array in data.items() if name != "labels"}
    outputs = executor.run(inputs).outputs
    found = float(network.score(outputs, data))
    if not math.isfinite(found):
        raise ValueError(f"the score of {network.name} is {found}")
    return found


def run(job: Job) -> Row:
    """Return the result of a job: scores of its chips by evaluation, and what it took."""
    network = networks.load(job.network, job.split)
    began = time.perf_counter()
    program, found = train(job, network)
    trained = time.perf_counter()
    results = {how.name: scores(program, network, job, how) for how in job.evaluations}
    ended = time.perf_counter()
    seconds: Mapping[str, float] = {"train": trained - began, "evaluate": ended - trained}
    means = {name: float(np.mean(values)) for name, values in results.items()}
    return {"scores": results, "means": means, "seconds": seconds, **found}
