"""Free levels in training: when they are fitted again, and to what [GDQ Alg. 1]."""

import numpy as np
import pytest
import torch

from cimc.ir.layer import Codebook
from cimc.quantizers import lloyd, lloyd_columns
from cimc.training.lloyd_levels import LloydLevels
from cimc.training.projection import projection


def weights(seed=0, shape=(2, 60, 5)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def module_of(matrix, count=4, *, by_column=False, threshold=0.1):
    """Levels that Lloyd's quantizer fitted to the weights."""
    if by_column:
        levels = lloyd_columns(matrix.movedim(0, 1).reshape(matrix.shape[1], -1), count).levels
    else:
        levels = lloyd(matrix, count).levels
        levels = np.pad(levels, (0, count - levels.size), mode="edge")
    codes = torch.zeros(matrix.shape, dtype=torch.uint8)
    return LloydLevels(Codebook(torch.from_numpy(levels), codes), matrix, threshold=threshold)


def test_it_starts_from_the_codebook():
    levels = torch.tensor([-1.5, 0.1, 0.9])
    book = Codebook(levels, torch.zeros(2, 60, 5, dtype=torch.uint8))
    assert torch.equal(LloydLevels(book, weights(), threshold=0.1).table(), levels)


def test_levels_that_were_not_fitted_to_weights_are_given_their_chance():
    """Fitted to outputs, levels may project to 0.7: what counts is the change from there."""
    matrix = torch.tensor([-1.0, -1.0, 1.0, 1.0]).reshape(1, 4, 1)
    book = Codebook(torch.tensor([-1.4, 1.4]), torch.zeros(1, 4, 1, dtype=torch.uint8))
    module = LloydLevels(book, matrix, threshold=0.1)
    assert module.after_step(matrix) is None
    assert module.after_step(1.09 * matrix) is None
    torch.testing.assert_close(module.after_step(1.12 * matrix), torch.tensor([1.12 / 1.4]))
    torch.testing.assert_close(module.usual, torch.ones(1, dtype=torch.float64))
    assert module.after_step(1.2 * matrix) is None  # relative to the fit: 1.2 / 1.12


def test_it_is_fitted_by_lloyd():
    matrix = weights()
    module = module_of(matrix)
    module.after_step(2 * matrix + 0.3)
    assert torch.equal(module.table(), torch.from_numpy(lloyd(2 * matrix + 0.3, 4).levels))


@pytest.mark.parametrize("by_column", [False, True])
def test_a_fresh_fit_projects_to_one(by_column):
    """Levels are means of what is near them, so the error is orthogonal to the levels.

    No level has weights of both signs near it: their products would count as magnitudes.
    """
    matrix = weights()
    matrix = matrix + matrix.sign()
    module = module_of(matrix, by_column=by_column)
    found = projection(module.quantized(matrix), matrix, by_column=by_column)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=1e-4, atol=0)


def test_levels_are_fitted_again_beyond_the_threshold_only():
    """Weights that grow by g, on the levels of before: r = g, where no code changes."""
    matrix = torch.tensor([-1.0, -1.0, 1.0, 1.0]).reshape(1, 4, 1)
    for growth, fitted in ((1.09, False), (1.11, True), (0.91, False), (0.89, True)):
        module = module_of(matrix, 2)
        found = module.after_step(growth * matrix)
        assert (found is not None) is fitted
        wanted = growth if fitted else 1.0
        torch.testing.assert_close(module.table(), torch.tensor([-wanted, wanted]))
        if found is not None:
            torch.testing.assert_close(found, torch.tensor([growth]))


def test_the_test_is_of_the_quantized_weights_of_the_forward_pass():
    """[GDQ Alg. 1]: W^ is what the forward pass used, W what the optimizer made of it."""
    start = torch.tensor([-1.0, -1.0, 1.0, 1.0]).reshape(1, 4, 1)
    module = module_of(start, 2)
    latent = start.clone().requires_grad_()
    module(latent)
    moved = torch.tensor([-1.0, 3.0, 1.0, 3.0]).reshape(1, 4, 1)  # one weight changes sides
    assert module.after_step(moved) is not None  # r = 8 / 4
    module = module_of(start, 2, threshold=1.1)
    module(latent)
    assert module.after_step(moved) is None
    assert module._last is None  # nothing is kept longer than that


def test_columns_are_tested_one_by_one():
    matrix = weights()
    module = module_of(matrix, by_column=True)
    before = module.table().clone()
    grown = matrix.clone()
    grown[1, :, 3] *= 1.5
    factor = module.after_step(grown)
    kept = torch.arange(10) != 8
    assert torch.equal(module.table()[kept], before[kept])
    assert torch.equal(factor[kept], torch.ones(9))
    assert float(factor[8]) == pytest.approx(1.5, rel=1e-3)
    assert not torch.equal(module.table()[8], before[8])


def test_fewer_distinct_weights_than_levels():
    matrix = torch.tensor([0.5, 0.5, -1.0]).reshape(1, 3, 1)
    module = module_of(matrix, 8)
    assert torch.equal(module(matrix), matrix)
    assert module.table().shape == (8,)
    assert torch.equal(module.codebook(matrix).levels, module.table())


def test_evaluation_leaves_nothing_behind():
    matrix = weights().requires_grad_()
    module = module_of(matrix.detach())
    with torch.no_grad():
        module(matrix)
    assert module._last is None


def test_weights_that_are_not_numbers_are_not_fitted():
    module = module_of(weights())
    before = module.table().clone()
    assert module.after_step(torch.full((2, 60, 5), torch.nan)) is None
    assert torch.equal(module.table(), before)
