"""What a network of the zoo is for: its file, its inputs and how well an answer does the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[Any]
#: Runs a network: inputs by name, first axis the samples, to outputs by name.
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Task:
    """One network with its data and its task metric.

    Attributes:
        name: Also the file name of the network in the cache, without suffix.
        metric: What ``score`` returns, for tables.
        model: Path of the ONNX file; raises MissingError.
        example: A few real inputs, to compare outputs on.
        calibration: Inputs to fit converter ranges and levels on; none of them is scored.
        score: Task metric [%] of a way to run the network.
        expected: Score of the float network [%]; what the published weights are known to reach.
    """

    name: str
    metric: str
    model: Callable[[], Path]
    example: Callable[[], dict[str, Array]]
    calibration: Callable[[], dict[str, Array]]
    score: Callable[[Run], float]
    expected: float


def quiet_session(model: str | bytes) -> onnxruntime.InferenceSession:
    """Return a session with one thread that logs errors only."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reference(path: Path) -> Run:
    """Return the float network as onnxruntime runs it."""
    session = quiet_session(str(path))
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(None, dict(inputs)), strict=True))

    return run


def one_by_one(run: Run) -> Run:
    """Feed a network whose batch is fixed to one sample by sample."""

    def each(inputs: Mapping[str, Array]) -> dict[str, Array]:
        count = len(next(iter(inputs.values())))
        answers = [
            run({name: array[k : k + 1] for name, array in inputs.items()}) for k in range(count)
        ]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    return each


def percent(right: Array) -> float:
    """Return the share of true entries [%]."""
    return 100 * float(np.mean(right))
