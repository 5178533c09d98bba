"""What compiled networks score, with the bars the project set itself."""

from __future__ import annotations

import time

import numpy as np
import pytest

import cimc
from cimc.executor import Executor
from tests.zoo import cache
from tests.zoo.resnet8 import PATH
from tests.zoo.task import Task
from tests.zoo.tasks import TASKS

pytestmark = pytest.mark.slow

#: Networks whose score survives 16 levels and converters, with the points each may lose.
ROBUST = {
    "resnet8-fashion": 0.5,
    "pnet": 2.0,
    "rnet": 1.0,
    "onet": 1.0,
    "crepe-tiny": 1.0,
    "ppocr-det": 2.0,
    "ppocr-cls": 2.0,
    "silero-vad": 2.0,
}


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task.name in ROBUST], ids=lambda task: task.name
)
def test_sixteen_levels_and_converters_keep_the_score(task: Task) -> None:
    program = cimc.compile(task.model(), target="rram", levels=16, data=task.calibration())
    executor = Executor(program, mode="noise-free")
    score = task.score(lambda inputs: dict(executor.run(inputs).outputs))
    assert score >= task.expected - ROBUST[task.name]


def test_eight_levels_on_noisy_chips_keep_the_digits() -> None:
    """Mean top-1 over chips within one point of float, by its lower confidence bound."""
    began = time.perf_counter()
    model = cache.model("mnist-conv.onnx")
    program = cimc.compile(
        model, target="rram", levels=8, data=cache.data("digits-calibration.npz")
    )
    report = cimc.verify(
        program, reference=model, data=cache.data("digits.npz"), chips=50, max_drop=0.01
    )
    assert report.passed
    assert report.reference is not None
    assert report.ci_low is not None
    assert report.ci_low >= report.reference - 0.01
    assert time.perf_counter() - began < 600, "90 s on a machine of its own"


@pytest.mark.parametrize(
    ("levels", "calibrated", "bar"),
    [
        (4, False, 0.355),
        (8, False, 0.896),
        (16, False, 0.913),
        (4, True, 0.836),
        (8, True, 0.913),
        (16, True, 0.917),
    ],
)
def test_resnet8_without_training_after(levels: int, calibrated: bool, bar: float) -> None:
    """The bars are those of a sketch, whose float network reached 92.3 % (ours: 92.05 %)."""
    data = cache.data("fashion-calibration.npz") if calibrated else None
    program = cimc.compile(PATH, target="rram", levels=levels, data=data)
    with np.load(cache.data("fashion-test.npz")) as file:
        images, labels = file["image"], file["labels"]
    executor = Executor(program, mode="ideal", batch=500)
    (logits,) = executor.run({"image": images}).outputs.values()
    assert np.mean(logits.argmax(1) == labels) >= bar
