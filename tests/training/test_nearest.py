"""The nearest level of every weight, against exact rational arithmetic."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.quantizers import boundaries as reference_boundaries
from cimc.training import nearest

#: Midpoints of two of these are exact in float64.
VALUES = st.floats(-8, 8, width=32).map(lambda v: v if abs(v) > 1e-6 else 0.0)


def exact_code(value, levels):
    """Number of the nearest level, of two equally near the lower one, of equal ones any."""
    away = [abs(Fraction(value) - Fraction(level)) for level in levels]
    return away.index(min(away))


def near_to(levels):
    """Values on, and one float beside, every level and every midpoint."""
    ends = (levels[1:] + levels[:-1]) / 2
    at = torch.cat([levels, ends])
    inf = torch.full((), torch.inf)
    return torch.cat([at, torch.nextafter(at, inf), torch.nextafter(at, -inf)])


@settings(max_examples=120, deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=9), st.lists(VALUES, min_size=1, max_size=12))
def test_codes_are_of_the_nearest_level(levels, values):
    levels = torch.tensor(sorted(levels))
    matrix = torch.cat([torch.tensor(values), near_to(levels)]).reshape(1, -1, 1)
    found = nearest.decode(nearest.encode(matrix, levels), levels).flatten()
    for value, level in zip(matrix.flatten().tolist(), found.tolist(), strict=True):
        assert level == levels[exact_code(value, levels.tolist())]


@pytest.mark.parametrize("count", [2, 3, 16, 64, 65, 200, 256])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(1, 37, 5), (4, 3, 2), (50, 9, 1), (2, 700, 90)])
def test_a_codebook_a_column_or_one_for_all(count, turned, shape):
    generator = torch.Generator().manual_seed(count)
    groups, _, columns = shape
    matrix = torch.randn(shape, generator=generator)
    if turned:
        matrix = matrix.mT.contiguous().mT
    one = torch.randn(count, generator=generator).sort().values
    many = torch.randn(groups * columns, count, generator=generator).sort(-1).values
    for levels in (one, many):
        table = levels.expand(groups * columns, -1).reshape(groups, 1, columns, -1)
        found = nearest.decode(codes := nearest.encode(matrix, levels), levels)
        assert found.stride() == matrix.stride()
        picked = table.expand(*shape, -1).gather(-1, codes.long()[..., None])[..., 0]
        assert torch.equal(found, picked)
        least = torch.full(shape, torch.inf, dtype=torch.float64)
        for k in range(count):
            least = torch.minimum(least, (matrix.double() - table[..., k].double()).abs())
        assert torch.equal((matrix.double() - found.double()).abs(), least)


def test_boundaries_are_those_of_the_quantizers():
    levels = torch.randn(300, 7, generator=torch.Generator().manual_seed(3)).sort(-1).values
    expected = torch.from_numpy(reference_boundaries(levels.numpy()))
    assert torch.equal(nearest.boundaries(levels), expected)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
def test_sums_are_those_of_a_loop(turned, by_column):
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(3, 11, 4, generator=generator)
    codes = torch.randint(0, 5, (3, 11, 4), generator=generator).to(torch.uint8)
    codes = codes.mT.contiguous().mT if turned else codes
    levels = torch.zeros(12, 5) if by_column else torch.zeros(5)
    expected = torch.zeros(levels.shape, dtype=torch.float64)
    for g in range(3):
        for r in range(11):
            for c in range(4):
                k = int(codes[g, r, c])
                expected[(g * 4 + c, k) if by_column else k] += values[g, r, c].double()
    torch.testing.assert_close(nearest.sums(values, codes, levels), expected)


def test_nothing_to_quantize():
    empty = torch.zeros(1, 0, 3)
    levels = torch.tensor([-1.0, 1.0])
    codes = nearest.encode(empty, levels)
    assert codes.shape == empty.shape
    assert nearest.decode(codes, levels).shape == empty.shape
    assert torch.equal(nearest.sums(empty, codes, levels), torch.zeros(2, dtype=torch.float64))
