import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimc.faults.ranges import read_ranges, write_ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("7", [7]), ("0-3,70", [0, 1, 2, 3, 70]), (" 70 , 0 - 3", [0, 1, 2, 3, 70])],
)
def test_read(text: str, numbers: list[int]) -> None:
    found = read_ranges(text)
    assert found.dtype == np.int32
    assert found.tolist() == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "'a' is neither"), ("1,", "'' is neither"), ("-1", "neither"), ("5-2", "backwards"),
        ("1-3,2", "2 is named twice"), ("0-99999999,200000000", "more than"), ("1.5", "neither"),
    ],
)  # fmt: skip
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ranges(text)


@given(st.sets(st.integers(0, 10_000), max_size=30))
def test_written_ranges_are_read_back(numbers: set[int]) -> None:
    ascending = np.array(sorted(numbers), np.int32)
    assert np.array_equal(read_ranges(write_ranges(ascending)), ascending)


def test_shortest() -> None:
    assert write_ranges(np.array([0, 1, 2, 5, 7, 8], np.int32)) == "0-2,5,7-8"
