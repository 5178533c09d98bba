"""Codes by look-up, against a binary search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.training.lookup import look_up

ENDS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=255).map(sorted)


def beside(ends):
    """End points, and the floats beside them; and far beyond."""
    inf = np.float32(np.inf)
    far = np.array([1e30, -1e30, 0.0, inf, -inf], np.float32)
    return np.concatenate([ends, np.nextafter(ends, inf), np.nextafter(ends, -inf), far])


@settings(max_examples=200, deadline=None)
@given(ENDS)
def test_codes_are_those_of_a_search(ends):
    ends = np.array(ends, np.float32)
    values = beside(ends)
    codes = np.full(values.shape, 77, np.uint8)
    if look_up(values, ends, codes):
        np.testing.assert_array_equal(codes, np.searchsorted(ends, values, side="left"))
    else:
        assert (codes == 77).all()


@pytest.mark.parametrize("count", [63, 127, 255])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_levels_of_networks_are_looked_up(count, scale):
    rng = np.random.default_rng(count)
    gaussian = np.sort(rng.standard_normal(100_000))[:: 100_000 // count][:count]
    for ends in (np.linspace(-1, 1, count), gaussian):
        ends = np.float32(ends * scale)
        values = np.concatenate([beside(ends), np.float32(rng.standard_normal(9999) * scale)])
        codes = np.zeros(values.shape, np.uint8)
        assert look_up(values, ends, codes)
        np.testing.assert_array_equal(codes, np.searchsorted(ends, values, side="left"))


def test_equal_end_points_count_each():
    ends = np.array([-1, 0, 0, 0, 2], np.float32)
    values, codes = beside(ends), np.zeros(20, np.uint8)
    assert look_up(values, ends, codes)
    np.testing.assert_array_equal(codes, np.searchsorted(ends, values, side="left"))


@pytest.mark.parametrize("ends", [[1.0, 1.0], [0.0, 1e-9, 1.0], [-3e38, 3e38]])
def test_what_lies_too_close_together_is_left_to_a_search(ends):
    assert not look_up(np.zeros(3, np.float32), np.array(ends, np.float32), np.zeros(3, np.uint8))
