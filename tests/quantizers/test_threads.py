"""Work side by side: in order, with one thread of torch each, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from cimc.quantizers.threads import side_by_side


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_in_order(threads: int) -> None:
    def work(number: int) -> tuple[int, int]:
        time.sleep(0.01 * (number % 3 == 0))
        return number, torch.get_num_threads()

    assert list(side_by_side(work, range(10))) == [(number, 1) for number in range(10)]
    assert torch.get_num_threads() == threads


def test_an_error_is_the_callers(threads: int) -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="3"):
        list(side_by_side(work, range(10)))
    assert torch.get_num_threads() == threads
