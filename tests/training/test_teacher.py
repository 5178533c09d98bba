"""The float network's answers: kept or not, they are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cimc.errors import ModelError
from cimc.training.batches import Samples
from cimc.training.teacher import Answers
from tests.training import toy


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_answers_are_those_of_the_samples_asked_for(limit: int) -> None:
    data, calls = toy.data(300), []

    def teacher(feed: Any) -> Any:
        calls.append(len(feed["x"]))
        return toy.teacher(feed)

    samples = Samples(data, toy.INPUTS, batched=True)
    answers = Answers(teacher, samples, ("y", "layer/first"), limit=limit)
    before = len(calls)
    (run,) = samples.runs([7, 299, 0])
    said = answers.of(run)
    np.testing.assert_allclose(
        said["y"], toy.teacher({"x": data.inputs["x"][[7, 299, 0]]})["y"], rtol=1e-5, atol=1e-6
    )
    assert said["layer/first"].shape == (3, 16)
    assert len(calls) - before == (1 if limit == 0 else 0)


def test_kept_answers_do_not_depend_on_what_was_asked_before() -> None:
    samples = Samples(toy.data(300), toy.INPUTS, batched=True)
    answers = Answers(toy.teacher, samples, ("y",))
    again = Answers(toy.teacher, samples, ("y",))
    answers.of(samples.runs([5, 6, 7])[0])
    one, other = (a.of(samples.runs([200, 3])[0])["y"] for a in (answers, again))
    assert one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_answers_without_a_row_a_sample_are_asked_for_each_run(shape: tuple[int, ...]) -> None:
    def teacher(feed: Any) -> Any:
        return {"y": np.full(shape, float(feed["x"].sum()), np.float32)}

    samples = Samples(toy.data(300), toy.INPUTS, batched=True)
    (run,) = samples.runs([1, 2])
    said = Answers(teacher, samples, ("y",)).of(run)["y"]
    assert said.shape == shape
    assert float(said.mean()) == pytest.approx(float(run.inputs[0].sum()), rel=1e-5)


def test_a_layer_the_teacher_does_not_have_is_named() -> None:
    samples = Samples(toy.data(10), toy.INPUTS, batched=True)
    with pytest.raises(ModelError, match="layer 'third'") as caught:
        Answers(toy.teacher, samples, ("layer/third",))
    assert caught.value.code == "CIMC-M97"


def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    samples = Samples(toy.data(10), toy.INPUTS, batched=True)

    def teacher(feed: Any) -> Any:
        raise AssertionError

    assert Answers(teacher, samples, ()).of(samples.runs([1])[0]) == {}
