"""Networks nobody here trained: compiled, they compute what onnxruntime computes."""

from __future__ import annotations

import numpy as np
import pytest

import cimc
from tests.zoo import light
from tests.zoo.task import Array, Task, reference
from tests.zoo.tasks import TASKS

#: Float32 sums in another order, through up to 121 layers; the bar of the project.
RELATIVE = 1e-4


def relative_error(got: dict[str, Array], expected: dict[str, Array]) -> float:
    """Return the largest ``max|got - expected| / max|expected|`` of the outputs."""
    assert got.keys() == expected.keys()
    errors = [
        float(np.abs(got[name] - value).max() / np.abs(value).max())
        for name, value in expected.items()
    ]
    return max(errors)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_on_the_ideal_target_it_equals_the_float_network(task: Task) -> None:
    path, inputs = task.model(), task.example()
    if task.name == "mnist-conv":  # its batch is fixed to 1
        inputs = {name: array[:1] for name, array in inputs.items()}
    program = cimc.compile(path, target="ideal")
    got = cimc.run(program, inputs, mode="ideal")
    assert relative_error(got, reference(path)(inputs)) <= RELATIVE


@pytest.mark.slow
@pytest.mark.parametrize("name", light.NAMES)
def test_the_topologies_of_imagenet_equal_the_float_network(name: str) -> None:
    path = light.model(name)
    inputs = light.inputs(path)
    program = cimc.compile(path, target="ideal")
    got = cimc.run(program, inputs, mode="ideal")
    assert relative_error(got, reference(path)(inputs)) <= RELATIVE


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_zoo_reaches_its_known_scores(task: Task) -> None:
    run = reference(task.model())
    if task.name == "mnist-conv":
        from tests.zoo.task import one_by_one

        run = one_by_one(run)
    assert task.score(run) >= task.expected
