"""What an error of a row costs once the others make good what they can."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.quantizers.feedback import damped
from cimc.remap.rows import assign, importance_of

TILES = np.array([[0, 5], [5, 4]], np.int32)


def moments(groups: int, rows: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(groups, 200, rows, generator=torch.Generator().manual_seed(seed))
    x = x + 2 * x[:, :, :1]
    return x.transpose(1, 2) @ x / 200


def test_it_is_the_least_error_when_the_other_rows_of_the_tile_are_free() -> None:
    h = moments(2, 9)
    found = importance_of([(slice(0, 9), h)], TILES, (2, 9, 3))
    assert found.shape == (2, 9)
    wide = damped(h).double()
    for group in range(2):
        for first, count in TILES.tolist():
            part = wide[group, first : first + count, first : first + count]
            for row in range(count):
                rest = [k for k in range(count) if k != row]
                best = torch.linalg.solve(part[rest][:, rest], -part[rest, row])
                error = torch.zeros(count, dtype=torch.float64)
                error[row], error[rest] = 1.0, best
                least = float(error @ part @ error)
                assert float(found[group, first + row]) == pytest.approx(least, rel=1e-5)


def test_blocks_may_end_inside_a_tile_and_rows_of_none_count_one() -> None:
    h = moments(1, 3)
    found = importance_of([(slice(4, 7), h)], TILES, (1, 9, 3))
    assert found[0, [0, 1, 2, 3, 7, 8]].tolist() == [1.0] * 6
    alone = damped(h)[0, 0, 0]
    assert float(found[0, 4]) == pytest.approx(float(alone))
    assert float(found[0, 5]) < float(damped(h)[0, 1, 1])


def test_moments_that_are_not_definite_count_by_their_diagonal() -> None:
    h = torch.tensor([[[1.0, 5.0], [5.0, 1.0]]])
    found = importance_of([(slice(0, 2), h)], np.array([[0, 2]], np.int32), (1, 2, 1))
    torch.testing.assert_close(found, damped(h).diagonal(dim1=1, dim2=2))


def test_more_lines_than_rows() -> None:
    cost = np.array([[5.0, 1.0, 2.0, 9.0], [5.0, 0.0, 3.0, 9.0]])
    assert assign(cost).tolist() == [2, 1]
