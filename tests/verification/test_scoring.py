import math

import numpy as np
import pytest

from cimc.errors import ModelError
from cimc.verification.scoring import make_baseline, score, score_outputs
from tests.verification.fakes import FakeChip, data, float_network


def feeds(x: np.ndarray, size: int) -> list[dict[str, np.ndarray]]:
    return [{"x": x[i : i + size]} for i in range(0, len(x), size)]


@pytest.mark.parametrize("size", [7, 100])
def test_scores_do_not_depend_on_the_batches(size: int) -> None:
    arrays = data()
    wanted = float_network(arrays)
    baseline = make_baseline(wanted, wanted, arrays["labels"])
    assert baseline.metric == "top1"
    assert baseline.top1 == 1.0
    result = score(FakeChip("chip", 0), feeds(arrays["x"], size), baseline)
    assert (result.top1, result.agreement, result.snr_db) == (1.0, 1.0, math.inf)


def test_flipped_decisions_count() -> None:
    arrays = data()
    wanted = float_network(arrays)
    baseline = make_baseline(wanted, wanted, None)
    assert baseline.metric == "agreement"
    result = score(FakeChip("chip", 0, 0.25), feeds(arrays["x"], 100), baseline)
    assert result.agreement == 0.75
    assert result.top1 is None
    noise = np.square(2 * arrays["x"][:25]).sum() / np.square(arrays["x"]).sum()
    assert result.snr_db == pytest.approx(-10 * math.log10(noise), rel=1e-5)


def test_regression_is_scored_by_snr() -> None:
    y = np.ones((4, 1), np.float32)
    baseline = make_baseline({"y": y}, {"y": y}, None)
    assert baseline.metric == "snr_db"
    assert score_outputs({"y": y * 1.1}, baseline).snr_db == pytest.approx(20.0, abs=1e-4)


def test_outputs_that_cannot_be_compared_are_named() -> None:
    y = np.ones((4, 3), np.float32)
    baseline = make_baseline(
        {"boxes": np.zeros((2, 4)), "y": y, "t": np.array(["a"])},
        {"boxes": np.zeros((3, 4)), "y": y, "t": np.array(["a"])},
        None,
    )
    assert baseline.primary == "y"
    assert baseline.skipped == ("boxes", "t")
    with pytest.raises(ModelError) as caught:
        make_baseline({"a": y}, {"b": y}, None)
    assert caught.value.code == "CIMC-M89"


def test_labels_need_classes_and_the_right_shape() -> None:
    y = np.ones((4, 1), np.float32)
    with pytest.raises(ModelError, match="names no classes"):
        make_baseline({"y": y}, {"y": y}, np.zeros(4, np.int64))
    y = np.ones((4, 2), np.float32)
    assert make_baseline({"y": y}, {"y": y}, np.zeros((4, 1), np.int64)).top1 == 1.0
    with pytest.raises(ModelError, match="do not fit"):
        make_baseline({"y": y}, {"y": y}, np.zeros((4, 3), np.int64))


@pytest.mark.parametrize("label", [-1, 2, 255])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    y = np.ones((4, 2), np.float32)
    with pytest.raises(ModelError, match=f"label {label} is none of the 2 classes") as caught:
        make_baseline({"y": y}, {"y": y}, np.array([0, 1, label, 0]))
    assert caught.value.code == "CIMC-M77"


def test_outputs_are_weighed_equally_whatever_their_scale() -> None:
    big, small = np.full((4, 1), 1e6, np.float32), np.full((4, 1), 1e-3, np.float32)
    zero = np.zeros((4, 1), np.float32)
    baseline = make_baseline(
        {"a": big, "b": small, "z": zero}, {"a": big, "b": small, "z": zero}, None
    )
    result = score_outputs({"a": big, "b": small * 1.1, "z": zero}, baseline)
    assert result.snr_db == pytest.approx(20.0 + 10 * math.log10(2), abs=1e-4)
    result = score_outputs({"a": big, "b": small, "z": zero + 1}, baseline)
    assert result.snr_db == -math.inf


def test_another_number_of_decisions_is_none_right() -> None:
    y = np.ones((4, 2), np.float32)
    baseline = make_baseline({"y": y}, {"y": y}, None)
    assert score_outputs({"y": y[:3]}, baseline).agreement == 0.0


def test_an_output_that_changes_its_size_is_no_signal() -> None:
    y = np.ones((4, 1), np.float32)
    baseline = make_baseline({"y": y}, {"y": y}, None)
    assert score_outputs({"y": y[:0]}, baseline).snr_db == -math.inf
    assert score_outputs({"y": np.ones((5, 1), np.float32)}, baseline).snr_db == -math.inf
