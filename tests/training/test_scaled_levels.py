"""Levels whose proportions stay: equally spaced ones, and those of fixed cell states."""

import numpy as np
import pytest
import torch

from cimc.ir.layer import Codebook
from cimc.quantizers.constrained import offset_differences, pair_differences
from cimc.quantizers.layer import LayerQuantizer
from cimc.training.scaled_levels import ScaledLevels

STATES = (1.0, 4.0, 9.0, 20.0)


def weights(seed=0, shape=(2, 80, 4)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def module_of(matrix, levels, states=None, encoding="differential-pair", *, by_column=False):
    quantizer = LayerQuantizer("uniform", levels, by_column, states, encoding)
    book = quantizer.from_weights(matrix)
    return ScaledLevels(book, matrix, states, offset=encoding == "offset-column", threshold=0.1)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("levels", [3, 7, 8])
def test_equally_spaced_levels_stay_so(levels, by_column):
    matrix = weights()
    module = module_of(matrix, levels, by_column=by_column)
    factor = module.after_step(2.5 * matrix)
    table = module.table()
    steps = table.diff(dim=-1)
    torch.testing.assert_close(steps, steps[..., :1].expand_as(steps))
    torch.testing.assert_close(table, -table.flip(-1))
    assert ((factor > 2.0) & (factor < 3.0)).all()


@pytest.mark.parametrize("by_column", [False, True])
def test_the_scale_is_as_good_as_any(by_column):
    """Against a fine search over scales."""
    matrix = 2.7 * weights(3)
    module = module_of(matrix / 2.7, 5, by_column=by_column)
    module.fit(matrix, None)
    shape = module.levels.clone()

    def lost():
        error = ((module.quantized(matrix) - matrix) ** 2).sum(1).reshape(-1)
        return error if by_column else error.sum()

    found = lost()
    best = torch.full_like(found, torch.inf)
    for share in np.linspace(0.4, 1.8, 281):
        module.levels.copy_(shape * float(share))
        best = torch.minimum(best, lost())
    assert (found <= best * 1.003).all()


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize(
    ("encoding", "differences"),
    [
        ("differential-pair", pair_differences(STATES)),
        ("offset-column", offset_differences(STATES)),
    ],
)
def test_every_level_is_a_difference_of_states(encoding, differences, by_column):
    matrix = weights(1)
    module = module_of(matrix, 4, STATES, encoding, by_column=by_column)
    for latent in (matrix, 3 * matrix, 0.2 * matrix + 0.05):
        module.after_step(latent)
        table = module.codebook(latent).levels.double().numpy().reshape(-1, 4)
        for levels in table:
            # The end of the codebook is an end of the range of the cells, so it gives the scale.
            scales = [
                levels[i] / differences[j]
                for i in (0, -1)
                for j in (0, -1)
                if levels[i] * differences[j] > 0
            ]
            away = [np.abs(levels[:, None] / s - differences).min(1).max() for s in scales]
            assert min(away) < 1e-4


def test_nothing_but_zeros_keeps_the_levels():
    matrix = weights()
    module = module_of(matrix, 5)
    before = module.table().clone()
    assert module.after_step(torch.zeros_like(matrix)) is None
    assert torch.equal(module.table(), before)


def test_a_codebook_given_is_kept_until_weights_drift():
    matrix = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1)
    book = Codebook(torch.tensor([-1.05, 0.0, 1.05]), torch.zeros(1, 3, 1, dtype=torch.uint8))
    module = ScaledLevels(book, matrix, threshold=0.1)
    assert torch.equal(module.table(), book.levels)
    assert module.after_step(matrix) is None
    assert module.after_step(2 * matrix) is not None
    torch.testing.assert_close(module.table(), torch.tensor([-2.0, 0.0, 2.0]))
