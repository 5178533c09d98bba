"""How data are cut into runs, beside how verification cuts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training.batches import Samples
from cimc.verification.batches import split
from cimc.verification.data import Data

X = np.arange(24, dtype=np.float32).reshape(8, 3)
LABELS = np.arange(8)


def test_samples_of_a_batched_network_share_runs() -> None:
    samples = Samples(Data({"x": X}, LABELS, 8), [Signal("x", "float32", ("n", 3))], batched=True)
    assert samples.units == 8
    assert samples.batches([5, 1, 7, 0, 2], 2) == [(5, 1), (7, 0), (2,)]
    (run,) = samples.runs([5, 1])
    torch.testing.assert_close(run.inputs[0], torch.from_numpy(X[[5, 1]]))
    assert run.labels is not None
    assert run.labels.tolist() == [5, 1]
    assert run.samples == 2
    assert samples.parts([5, 1, 7], most=2) == [(5, 1), (7,)]
    assert samples.runs([]) == []


def test_a_network_that_takes_two_samples_is_run_with_two() -> None:
    samples = Samples(Data({"x": X}, LABELS, 8), [Signal("x", "float32", (2, 3))], batched=True)
    assert samples.units == 4
    assert samples.batches([3, 0, 2, 1], 4) == [(3, 0), (2, 1)]
    runs = samples.runs([3, 0])
    assert [run.labels.tolist() for run in runs if run.labels is not None] == [[6, 7], [0, 1]]
    assert samples.subset([3, 0]).samples == 4
    assert samples.subset([3]).inputs["x"].tolist() == X[6:].tolist()


def test_samples_that_are_not_independent_are_one_run() -> None:
    samples = Samples(Data({"x": X}, None, 8), [Signal("x", "float32", ("t", 3))], batched=False)
    assert samples.units == 1
    (run,) = samples.runs([0])
    assert run.inputs[0].shape == (8, 3)
    assert run.samples == 8


def test_an_array_for_all_samples_goes_with_every_run() -> None:
    signals = [Signal("x", "float32", ("n", 3)), Signal("table", "float32", (5, 2))]
    table = np.ones((5, 2), np.float32)
    samples = Samples(Data({"x": X, "table": table}, None, 8), signals, batched=True)
    for run in samples.runs([4, 2, 1], most=2):
        assert run.inputs[1].shape == (5, 2)


@pytest.mark.parametrize(
    ("arrays", "signals", "batched"),
    [
        ({"x": X}, [Signal("x", "float32", ("n", 3))], True),
        ({"x": X}, [Signal("x", "float32", (4, 3))], True),
        ({"x": X}, [Signal("x", "float32", (3, 3))], True),
        ({"x": X}, [Signal("x", "float32", ("n", 3))], False),
        ({"x": X}, [Signal("x", "float32", ("n",))], True),
        ({"x": X, "s": X[:, :1]}, [Signal("x", "float32", (3,)), Signal("s", "float32", (1,))], 1),
    ],
)
def test_runs_in_order_are_those_of_verification(
    arrays: Any, signals: list[Signal], batched: bool
) -> None:
    data = Data(arrays, None, 8)
    samples = Samples(data, signals, batched=bool(batched))
    feeds = split(data, signals, batched=bool(batched), batch=3)
    units = range(samples.units)
    ours = [samples.feed(part) for part in samples.parts(units, 3)]
    assert len(ours) == len(feeds)
    for own, theirs in zip(ours, feeds, strict=True):
        for name in arrays:
            np.testing.assert_array_equal(own[name], theirs[name])


def test_strings_are_refused() -> None:
    data = Data({"s": np.array(["a", "b"], dtype=object)}, None, 2)
    with pytest.raises(ModelError) as caught:
        Samples(data, [Signal("s", "string", ("n",))], batched=True)
    assert caught.value.code == "CIMC-M97"
