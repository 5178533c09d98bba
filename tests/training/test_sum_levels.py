"""Levels that are sums of multipliers, fixed and learned [NM Eq. 2-7]."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.device.slices import conductance_slices, digital_slices, slice_planes, sliced_levels
from cimc.ir.layer import Codebook
from cimc.quantizers.layer import LayerQuantizer
from cimc.training.nearest import decode
from cimc.training.sum_levels import SumLevels

NUMBERS = st.floats(-2, 2, width=32).map(lambda v: v if abs(v) > 1e-4 else 0.0)


def weights(seed=0, shape=(2, 40, 3)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def module_of(matrix, bits, learned="multipliers", *, quantizer="n-multiplier", by_column=False,
              regularized=False):  # fmt: skip
    fit = LayerQuantizer(quantizer, 2**bits, by_column, None, "bit-sliced")
    book = fit.from_weights(matrix)
    powers = quantizer == "uniform"
    return SumLevels(book, matrix, learned, powers=powers, threshold=0.1, regularized=regularized)


def plain(matrix, bits):
    """Levels that learn all multipliers, with no fit before."""
    r = 0.25 * 2.0 ** torch.arange(bits)
    c = -r.sum().reshape(1) / 2
    codes = torch.zeros(matrix.shape, dtype=torch.uint8)
    book = Codebook(sliced_levels(r, c[0])[0], codes, r, c)
    return SumLevels(book, matrix, "multipliers", threshold=0.1)


def put(module, r, c):
    """Set multipliers and offset of a module that learns them."""
    with torch.no_grad():
        module.multipliers.copy_(torch.as_tensor(r) / module.size[..., None])
        module.offset.copy_((torch.as_tensor(c) / module.size).reshape(-1))


def every_sum(r, c):
    """All sums, one by one [NM Eq. 4]."""
    patterns = product((0, 1), repeat=len(r))
    return [c + sum(a * s for a, s in zip(r, bits, strict=True)) for bits in patterns]


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=8), NUMBERS, st.integers(0, 2**31))
def test_the_nearest_of_all_sums_whatever_the_signs(r, c, seed):
    """Multipliers negative, zero, equal or in any order: against all sums, in float64."""
    matrix = 2 * weights(seed, (1, 50, 1))
    module = plain(matrix, len(r))
    put(module, r, c)
    r, c = (x.detach().double().numpy() for x in module.sums())
    sums = np.array(every_sum(r, c))
    found = module(matrix).detach().double().numpy().reshape(-1)
    x = matrix.double().numpy().reshape(-1)
    least = np.abs(x[:, None] - sums).min(1)
    np.testing.assert_allclose(np.abs(x - found), least, rtol=0, atol=2e-6)
    assert np.abs(found[:, None] - sums).min(1).max() < 2e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=6), NUMBERS)
def test_the_codebook_is_one_that_cells_can_hold(r, c):
    matrix = weights(1)
    module = plain(matrix, len(r))
    put(module, r, c)
    book = module.codebook(matrix)
    assert (book.multipliers >= 0).all()
    assert not (book.multipliers.diff() < 0).any()
    levels, _ = sliced_levels(book.multipliers, book.offset[0])
    assert torch.equal(levels, book.levels)
    assert torch.equal(decode(book.codes, book.levels), module(matrix))


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("form", [digital_slices, conductance_slices])
def test_cells_hold_what_was_trained(form, by_column):
    """The weight is gain * (sum of factors times conductances + correction)."""
    matrix = weights(2)
    module = module_of(matrix, 3, by_column=by_column)
    r, c = module.sums()
    put(module, r.detach() * torch.tensor([-1.0, 1.3, 0.2]), c.detach() + 0.4)
    book, low, high = module.codebook(matrix), 2.0, 50.0
    _, patterns = sliced_levels(book.multipliers, book.offset.reshape(book.multipliers.shape[:-1]))
    planes = torch.stack(slice_planes(book.codes, patterns)).double()
    first, gain, correction = form(book.multipliers, book.offset, low, high)
    wide = (lambda x: x.reshape(2, 1, 3)) if by_column else (lambda x: x)
    if form is digital_slices:
        held = sum(wide(f) * (low + (high - low) * p) for f, p in zip(first, planes, strict=True))
    else:
        on = first.movedim(-1, 0)
        held = sum(low + (wide(g) - low) * p for g, p in zip(on, planes, strict=True))
    got = wide(gain).double() * (held + wide(correction).double())
    torch.testing.assert_close(got.float(), module(matrix).detach(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("learned", ["step", "multipliers"])
def test_levels_learn_from_the_task_at_fixed_codes(learned, by_column):
    """d w^/d r_k = S_k, d w^/d c = 1; times 1 / sqrt(n Q_P).

    By autograd of the sums themselves, with the patterns found by trying all of them.
    """
    matrix = weights(3)
    module = module_of(matrix, 3, learned, by_column=by_column)
    with torch.no_grad():
        module.multipliers[..., 0] *= -1.1
    gradient = weights(4)
    module(matrix).backward(gradient)
    r, c = module.sums()
    patterns = torch.tensor(list(product((0.0, 1.0), repeat=3)))
    sums = r @ patterns.T + c[..., None]
    table = sums.reshape(2, 1, 3, 8) if by_column else sums
    best = (matrix[..., None] - table.detach()).abs().argmin(-1, keepdim=True)
    held = table.expand(2, 40, 3, 8).gather(-1, best)[..., 0]
    scale = 1 / math.sqrt(matrix.numel() * 3)
    wanted = torch.autograd.grad((held * gradient * scale).sum(), list(module.parameters()))
    for parameter, expected in zip(module.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_penalty_falls_as_its_gradient_says(bits):
    """Finite differences of Eq. 6 in every multiplier and the offset."""
    matrix = weights(5, (1, 200, 4))
    module = module_of(matrix, bits)
    put(module, module.sums()[0].detach() * 1.15, module.sums()[1].detach() + 0.07)
    module.penalty(matrix).backward()

    def exact():
        r, c = (x.detach().double().numpy() for x in module.sums())
        away = matrix.double().numpy().reshape(-1, 1) - np.array(every_sum(r, c))
        return module.alpha * (away**2).min(1).sum()

    for parameter in module.parameters():
        flat = parameter.data.view(-1)
        for k in range(len(flat)):
            value, step = float(flat[k]), 1e-4
            flat[k] = value + step
            above = exact()
            flat[k] = value - step
            slope = (above - exact()) / (2 * step)
            flat[k] = value
            assert float(parameter.grad.view(-1)[k]) == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_a_learned_step_keeps_powers_of_two():
    matrix = weights(6)
    for by_column in (False, True):
        module = module_of(matrix, 4, "step", by_column=by_column)
        module(matrix).backward(weights(7))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= 0.05 * parameter.grad.sign()
        r = module.codebook(matrix).multipliers
        assert torch.equal(r[..., 1:], 2 * r[..., :-1])
        assert module.multipliers.shape[-1] == 1


def test_multipliers_are_learned_by_the_penalty():
    """Weights drawn from sums of other multipliers nearby: descent on Eq. 6 finds those."""
    r, c = [0.2, 0.5, 1.1], -0.8
    sums = torch.tensor(every_sum(r, c))
    generator = torch.Generator().manual_seed(0)
    matrix = sums[torch.randint(0, 8, (1, 300, 4), generator=generator)]
    book = LayerQuantizer("uniform", 8, False, None, "bit-sliced").from_weights(matrix)
    module = SumLevels(book, matrix, "multipliers", threshold=0.1, regularized=True)
    put(module, torch.tensor([0.26, 0.43, 1.2]), torch.tensor(-0.75))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    before = float(module.penalty(matrix).detach())
    for _ in range(300):
        optimizer.zero_grad()
        module.penalty(matrix).backward()
        optimizer.step()
    assert float(module.penalty(matrix).detach()) < 0.02 * before
    np.testing.assert_allclose(np.sort(module.canonical()[0].detach()), r, atol=0.03)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("quantizer", ["uniform", "n-multiplier"])
def test_fixed_multipliers_follow_weights_by_being_fitted_again(quantizer, by_column):
    matrix = weights(8)
    module = module_of(matrix, 3, "fixed", quantizer=quantizer, by_column=by_column)
    before = module.quantized(matrix)
    factor = module.after_step(4 * matrix)
    torch.testing.assert_close(factor, torch.full_like(factor, 4.0), rtol=0.25, atol=0)
    error = ((module.quantized(4 * matrix) / 4 - matrix) ** 2).mean()
    assert error <= 1.02 * ((before - matrix) ** 2).mean()
    r = module.codebook(matrix).multipliers
    assert torch.equal(r[..., 1:], 2 * r[..., :-1]) is (quantizer == "uniform")


def test_parameters_are_relative_to_the_largest_level():
    for scale in (1e-3, 1.0, 1e3):
        matrix = scale * weights(9)
        module = module_of(matrix, 4)
        r, c = module.multipliers.detach(), module.offset.detach()
        ends = torch.stack([c[0], c[0] + r.sum()]).abs()
        assert float(ends.max()) == pytest.approx(1.0, rel=1e-5)


def test_equal_weights_have_one_level():
    matrix = torch.full((1, 5, 2), 0.3)
    book = Codebook(torch.full((4,), 0.3), torch.zeros(1, 5, 2, dtype=torch.uint8),
                    torch.zeros(2), torch.tensor([0.3]))  # fmt: skip
    module = SumLevels(book, matrix, "multipliers", threshold=0.1)
    assert torch.equal(module(matrix), matrix)
    assert torch.equal(module.codebook(matrix).levels, torch.full((4,), 0.3))
