import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cimc.errors import ModelError
from cimc.verification.metrics import (
    class_axis,
    decibel,
    decisions,
    powers,
    share_equal,
    snr_db,
)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((5, 3), 1),
        ((5, 7, 3), 2),
        ((5, 3, 8, 8), 1),
        ((5, 3, 4, 8, 8), 1),
        ((5, 1), None),
        ((5,), None),
    ],
)
def test_class_axis_of_usual_outputs(shape: tuple[int, ...], axis: int | None) -> None:
    assert class_axis(np.zeros(shape, np.float32)) == axis


def test_decisions_take_the_largest_score_and_ignore_nan() -> None:
    scores = np.array([[0.1, 0.9], [2.0, 2.0], [math.nan, -3.0]], dtype=np.float32)
    found = decisions(scores)
    assert found is not None
    assert found.tolist() == [1, 0, 1]


def test_integer_outputs_are_decisions_already() -> None:
    found = decisions(np.array([3, 1], dtype=np.int32))
    assert found is not None
    assert found.tolist() == [3, 1]


def test_segmentation_is_decided_per_pixel() -> None:
    scores = np.zeros((1, 2, 2, 2), np.float32)
    scores[0, 1, 0, 1] = 1
    found = decisions(scores)
    assert found is not None
    assert found.tolist() == [[[0, 1], [0, 0]]]


def test_share_equal_refuses_other_shapes() -> None:
    assert share_equal(np.array([1, 2, 3, 4]), np.array([1, 0, 3, 4])) == 0.75
    with pytest.raises(ModelError, match="do not fit") as caught:
        share_equal(np.array([1, 2]), np.array([1]))
    assert caught.value.code == "CIMC-M77"


def test_snr_of_a_known_ratio() -> None:
    reference = np.array([3.0, 4.0])
    assert snr_db(reference, reference * 1.1) == pytest.approx(20.0)
    assert snr_db(reference, reference) == math.inf
    assert snr_db(np.zeros(2), np.ones(2)) == -math.inf


def test_masked_logits_at_minus_infinity_count_as_no_noise_when_equal() -> None:
    reference = np.array([-np.inf, 1.0])
    assert snr_db(reference, reference) == math.inf
    assert snr_db(reference, np.array([0.0, 1.0])) == -math.inf
    assert snr_db(np.array([1.0, 1.0]), np.array([np.nan, 1.0])) == -math.inf


@settings(deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(-100, 100)),
    hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(-100, 100)),
    st.integers(1, 19),
)
def test_energies_add_up_over_parts(a: np.ndarray, b: np.ndarray, cut: int) -> None:
    n = min(len(a), len(b))
    a, b, cut = a[:n], b[:n], min(cut, n)
    whole = powers(a, b)
    parts = [powers(a[:cut], b[:cut]), powers(a[cut:], b[cut:])]
    assert whole == pytest.approx(tuple(np.sum(parts, axis=0)))
    assert not math.isnan(decibel(*whole))
