"""Multipliers and offset with the least output error for given codes."""

import numpy as np
import pytest
import torch

from cimc.device.slices import slice_planes, sliced_levels
from cimc.quantizers.feedback import decoded
from cimc.quantizers.slice_refit import SliceRefit


def problem(seed, per_column, n=3, groups=2, rows=12, columns=3):
    rng = np.random.default_rng(seed)
    w = torch.from_numpy(rng.standard_normal((groups, rows, columns)))
    x = rng.standard_normal((groups, 40, rows))
    h = torch.from_numpy(np.einsum("gnr,gns->grs", x, x) / 40)
    shape = (groups * columns,) if per_column else ()
    r = torch.from_numpy(np.sort(rng.uniform(0.2, 2.0, (*shape, n))).astype(np.float32))
    c = torch.from_numpy(rng.uniform(-3, -1, (*shape,) or (1,)).astype(np.float32))
    codes = torch.from_numpy(rng.integers(0, 2**n, (groups, rows, columns)).astype(np.uint8))
    return w, h, r, c, codes


def spread(levels, groups):
    return levels if levels.ndim == 1 else levels.reshape(groups, -1, levels.shape[-1])


def output_error(w, h, codes, levels):
    e = w - decoded(codes, levels).double()
    return float((e * (h @ e)).sum())


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("powers", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_least_squares_solution(seed, per_column, powers):
    """Against numpy's least squares on the rows of the Cholesky factor of H."""
    w, h, r, c, codes = problem(seed, per_column)
    if powers:
        r = r[..., :1] * torch.tensor([1.0, 2.0, 4.0])
    start, patterns = sliced_levels(r, c if per_column else c[0])
    move = SliceRefit(r, c, powers=powers)
    levels = move(w, spread(start, 2), lambda x: h @ x, codes)
    # The same bits stand for the weights; the levels they name may have changed order.
    bits = torch.stack(slice_planes(codes, patterns), -1).double()
    basis = (bits * 2.0 ** torch.arange(3)).sum(-1, keepdim=True) if powers else bits
    basis = torch.cat([basis, torch.ones_like(basis[..., :1])], -1)
    root = torch.linalg.cholesky(h).mT
    rows, wanted = torch.einsum("grs,gsck->gcrk", root, basis), (root @ w).transpose(1, 2)
    k = rows.shape[-1]
    parts = [(rows.reshape(-1, 12, k)[i], wanted.reshape(-1, 12)[i]) for i in range(6)]
    if not per_column:
        parts = [(rows.reshape(-1, k), wanted.reshape(-1))]
    solved = [np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)[0] for a, b in parts]
    least = sum(
        float(np.square(a.numpy() @ s - b.numpy()).sum())
        for (a, b), s in zip(parts, solved, strict=True)
    )
    new_r, new_c = move.multipliers(levels)
    for s, rr, cc in zip(solved, new_r.reshape(-1, 3), new_c, strict=True):
        found = np.sort(np.abs(s[0] * 2.0 ** np.arange(3) if powers else s[:-1]))
        np.testing.assert_allclose(rr.numpy(), found, rtol=1e-4, atol=1e-5)
        moved = s[:-1] * (7 if powers else 1)
        assert float(cc) == pytest.approx(s[-1] + np.minimum(moved, 0).sum(), abs=1e-4)
    # Levels are exactly the sums of what it says.
    again, _ = sliced_levels(new_r, new_c if per_column else new_c[0])
    assert torch.equal(spread(again, 2), levels.float())
    # And the error with the best codes for them is not above that of these bits.
    assert least <= output_error(w, h, codes, spread(start, 2)) * (1 + 1e-9)


def test_a_slice_nobody_uses_stays():
    w, h, r, c, codes = problem(0, False)
    start, patterns = sliced_levels(r, c[0])
    unused = torch.tensor([k for k, p in enumerate(patterns.tolist()) if not p & 2])
    codes = unused[codes.long() % 4].to(torch.uint8)
    move = SliceRefit(r, c)
    levels = move(w, start, lambda x: h @ x, codes)
    new, _ = move.multipliers(levels)
    assert float((new - r[1]).abs().min()) < 1e-5


def test_zeros_have_no_pull():
    r, c = torch.tensor([1.0, 2.0]), torch.tensor([0.0])
    move = SliceRefit(r, c)
    start, _ = sliced_levels(r, c[0])
    h = torch.zeros(1, 3, 3)
    codes = torch.zeros(1, 3, 2, dtype=torch.uint8)
    levels = move(torch.ones(1, 3, 2), start, lambda x: h @ x, codes)
    assert torch.equal(levels, start)
