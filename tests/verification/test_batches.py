import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.ir.network import Signal
from cimc.verification.batches import batch_size, join, split, subset
from cimc.verification.data import check_data

DYNAMIC = Signal("x", "float32", ("n", 2))


def made(n: int, *signals: Signal, **more: np.ndarray):  # type: ignore[no-untyped-def]
    x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return check_data({"x": x, **more}, signals)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 50))
def test_every_sample_once_in_order(n: int, batch: int) -> None:
    data = made(n, DYNAMIC)
    feeds = split(data, [DYNAMIC], batched=True, batch=batch)
    np.testing.assert_array_equal(join(feeds)["x"], data.inputs["x"])
    assert all(len(f["x"]) <= batch for f in feeds)
    assert len(feeds) == -(-n // batch)


def test_a_fixed_first_axis_sets_the_size() -> None:
    fixed = Signal("x", "float32", (2, 2))
    feeds = split(made(6, fixed), [fixed], batched=True, batch=64)
    assert [len(f["x"]) for f in feeds] == [2, 2, 2]


def test_dependent_samples_are_one_run() -> None:
    assert len(split(made(600, DYNAMIC), [DYNAMIC], batched=False, batch=8)) == 1


def test_a_state_goes_to_every_run() -> None:
    state = Signal("h", "float32", (3, 1))
    h = np.ones((3, 1), np.float32)
    feeds = split(made(4, DYNAMIC, state, h=h), [DYNAMIC, state], batched=True, batch=2)
    assert [f["h"].shape for f in feeds] == [(3, 1), (3, 1)]


def test_one_axis_more_is_one_run_each() -> None:
    image = Signal("x", "float32", ("h", "w"))
    data = check_data({"x": np.zeros((3, 4, 5), np.float32)}, [image])
    feeds = split(data, [image], batched=True, batch=2)
    assert [f["x"].shape for f in feeds] == [(4, 5)] * 3


def test_join_flattens_what_does_not_fit() -> None:
    parts = [
        {"a": np.zeros((2, 3)), "s": np.float32(1)},
        {"a": np.zeros((2, 4)), "s": np.float32(2)},
    ]
    joined = join([{k: np.asarray(v) for k, v in p.items()} for p in parts])
    assert joined["a"].shape == (14,)
    assert joined["s"].tolist() == [1, 2]


def test_subset_keeps_labels_in_step() -> None:
    data = made(5, DYNAMIC, labels=np.arange(5))
    few = subset(data, 2)
    assert few.samples == 2
    assert few.labels is not None
    assert few.labels.tolist() == [0, 1]
    assert subset(data, 9) is data


@pytest.mark.parametrize(("shape", "size"), [((1000, 28 * 28), 128), ((4, 3, 1024, 1024), 1)])
def test_batch_size_is_bounded_by_memory(shape: tuple[int, ...], size: int) -> None:
    signal = Signal("x", "float32", ("n", *shape[1:]))
    data = check_data(
        {"x": np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, [0] * len(shape))},
        [signal],
    )
    assert batch_size(data) == size
