"""Smooth fields against the kernel they are to have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cimc.device.correlated import SMOOTH, factor, field, grid_place, nodes
from cimc.device.seeding import generator


def kernel(lines: int, length: float):
    place = np.arange(lines)
    return np.exp(-((place[:, None] - place) ** 2) / (2 * length**2))


@pytest.mark.parametrize("length", [0.1, 1.0, SMOOTH - 1e-9, SMOOTH, 3.3, 32.0, 1e5])
@pytest.mark.parametrize("lines", [1, 7, 128])
def test_factor_squared_is_the_covariance(lines: int, length: float) -> None:
    half = factor(lines, length).double().numpy()
    np.testing.assert_allclose(half @ half.T, kernel(lines, length), atol=5e-7)


def test_a_smooth_field_has_few_nodes() -> None:
    assert factor(256, 32.0).shape[1] < 40


def test_empirical_covariance_is_the_kernel() -> None:
    """4,000 fields: covariances are known to 0.022 (standard error); bounds at 4.5 of them.

    60 covariances: a false alarm once in 2,000 seeds.  Mistaking ``2 length^2`` for ``length^2``
    changes the covariance at a distance of 4 by 0.24, 11 standard errors.
    """
    count, lines, columns, length = 4000, 12, 9, 4.0
    rows, cols = factor(lines, length), factor(columns, length)
    drawn = torch.stack(
        [
            field(rows, nodes(lines, columns, length, generator(n, "test")), cols)
            for n in range(count)
        ]
    ).double()
    place = [(0, 0), (0, 4), (4, 0), (3, 5), (11, 8)]
    for a, b in place:
        got = (drawn[:, a, b, None, None] * drawn).mean(0)
        exact = np.outer(kernel(lines, length)[a], kernel(columns, length)[b])
        error = np.sqrt((1 + exact**2) / count)
        assert (np.abs(got.numpy() - exact) / error)[::3, ::3].max() < 4.5
    assert stats.kstest(drawn[:, 5, 5].numpy(), "norm").pvalue > 1e-4


def test_parts_of_a_field_fit_together() -> None:
    rows, cols, z = factor(40, 5.0), factor(30, 5.0), nodes(40, 30, 5.0, generator(0, "test"))
    whole = field(rows, z, cols)
    torch.testing.assert_close(whole[10:20, 1::2], field(rows[10:20], z, cols[1::2]))
    torch.testing.assert_close(whole[3:4], field(rows[3:4], z, cols))


def test_arrays_have_places_of_their_own() -> None:
    places = [grid_place(k) for k in range(1024)]
    assert len(set(places)) == 1024
    assert {max(p) for p in places[:256]} <= set(range(16))
    assert places[:6] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)]
