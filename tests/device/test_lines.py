from __future__ import annotations

import pytest
import torch

from cimc.device.lines import broken_lines, cut_lines, stick_lines
from cimc.device.seeding import generator


def test_rates() -> None:
    """1e5 lines: rates are known to 0.0007, bounds at 5 standard errors."""
    broken = broken_lines(100_000, 0.02, 0.05, generator(1, "test"))
    assert float(broken.open.float().mean()) == pytest.approx(0.02, abs=0.0022)
    assert float(broken.stuck.float().mean()) == pytest.approx(0.05, abs=0.0035)
    assert not bool((broken.open & broken.stuck).any())


@pytest.mark.parametrize(("open_rate", "stuck_rate"), [(0, 0), (1, 0), (0, 1)])
def test_none_and_all(open_rate: float, stuck_rate: float) -> None:
    broken = broken_lines(50, open_rate, stuck_rate, generator(1, "test"))
    assert broken.open.tolist() == [bool(open_rate)] * 50
    assert broken.stuck.tolist() == [bool(stuck_rate)] * 50


def test_the_first_lines_do_not_depend_on_their_number() -> None:
    few, many = (broken_lines(n, 0.3, 0.3, generator(1, "test")) for n in (7, 100))
    assert torch.equal(few.open, many.open[:7])
    assert torch.equal(few.stuck, many.stuck[:7])


def test_all_cells_of_a_line() -> None:
    g = torch.full((3, 4), 5.0)
    word, bit = torch.tensor([False, True, False]), torch.tensor([True, False, False, False])
    assert stick_lines(g, word, ~bit & bit, 18.0).tolist() == [[5] * 4, [18] * 4, [5] * 4]
    assert cut_lines(g, word & ~word, bit).tolist() == [
        [0, 5, 5, 5],
        [0, 18, 18, 18],
        [0, 5, 5, 5],
    ]
    assert cut_lines(g, word, bit).sum() == 30
    assert stick_lines(torch.zeros(3, 4), word & ~word, bit, 18.0).sum() == 3 * 18
