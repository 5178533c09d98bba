"""Multipliers, bits and the cells that hold them."""

import numpy as np
import pytest
import torch

from cimc.device.slices import (
    canonical,
    conductance_slices,
    digital_slices,
    slice_planes,
    sliced_levels,
)

G_MIN, G_MAX = 2.1, 17.85


def test_patterns_name_the_multipliers_of_each_level():
    levels, patterns = sliced_levels(torch.tensor([1.0, 1.5, 2.0]), torch.tensor(-2.0))
    assert levels.tolist() == [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5]
    assert patterns.tolist() == [0, 1, 2, 4, 3, 5, 6, 7]


def test_the_levels_of_negative_multipliers_are_those_of_positive_ones():
    rng = np.random.default_rng(0)
    r = torch.from_numpy(rng.standard_normal((50, 4)))
    c = torch.from_numpy(rng.standard_normal(50))
    positive, offset = canonical(r, c)
    assert bool((positive >= 0).all())
    torch.testing.assert_close(sliced_levels(positive, offset)[0], sliced_levels(r, c)[0])


@pytest.mark.parametrize("columns", [None, 6])
@pytest.mark.parametrize("n", [1, 4, 8])
def test_cells_stand_for_the_levels(columns, n):
    rng = np.random.default_rng(n)
    shape = (n,) if columns is None else (columns, n)
    r = torch.from_numpy(np.sort(rng.exponential(size=shape)).astype(np.float32))
    c = torch.from_numpy(rng.standard_normal(shape[:-1]).astype(np.float32))
    codes = torch.from_numpy(rng.integers(0, 2**n, (2, 30, 3)).astype(np.uint8))
    levels, patterns = sliced_levels(r, c)
    bits = slice_planes(codes, patterns)
    wide = levels.expand(6, -1).reshape(2, 1, 3, -1).expand(-1, 30, -1, -1)
    want = torch.gather(wide, 3, codes.long()[..., None])[..., 0]

    def column(x):
        return x.double().expand(6).reshape(2, 1, 3)

    offset = c.reshape(-1)
    factor, gain, correction = digital_slices(r, offset, G_MIN, G_MAX)
    assert float(factor.max()) == 1.0
    g = [torch.where(b > 0, G_MAX, G_MIN).double() for b in bits]
    got = column(gain) * (
        sum(column(f) * k for f, k in zip(factor, g, strict=True)) + column(correction)
    )
    torch.testing.assert_close(got.float(), want, rtol=1e-5, atol=1e-5)

    on, gain, correction = conductance_slices(r, offset, G_MIN, G_MAX)
    assert float(on.min()) >= np.float32(G_MIN)
    assert float(on.max()) == np.float32(G_MAX)
    g = [
        torch.where(b > 0, column(o), torch.tensor(G_MIN).double())
        for b, o in zip(bits, on.movedim(-1, 0), strict=True)
    ]
    got = column(gain) * (sum(g) + column(correction))
    torch.testing.assert_close(got.float(), want, rtol=1e-5, atol=1e-5)


def test_equal_weights_are_held_by_the_offset_alone():
    for r, c in ((torch.zeros(3), torch.tensor([-0.4])), (torch.zeros(3), torch.zeros(1))):
        factor, gain, correction = digital_slices(r, c, G_MIN, G_MAX)
        assert float(gain * (factor.sum() * G_MIN + correction)) == pytest.approx(
            float(c), abs=1e-6
        )
        on, gain, correction = conductance_slices(r, c, G_MIN, G_MAX)
        assert float(gain * (on.sum() + correction)) == pytest.approx(float(c), abs=1e-6)
