"""One layer to a codebook, in every combination of options."""

import itertools

import numpy as np
import pytest
import torch

from cimc.device.slices import sliced_levels
from cimc.errors import UsageError
from cimc.quantizers import pair_differences
from cimc.quantizers.feedback import output_error
from cimc.quantizers.layer import LayerQuantizer

STATES = (2.0, 4.0, 7.0, 18.0)
OPTIONS = list(itertools.product(["lloyd", "uniform"], [False, True], [None, STATES]))
SUMS = list(itertools.product(["n-multiplier", "uniform"], [False, True], [False, True]))


def weights(seed=0, shape=(2, 27, 8)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moments(groups=2, rows=27):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(groups, 500, rows, generator=g) @ torch.randn(rows, rows, generator=g)
    return x.transpose(1, 2) @ x / 500


def decode(codebook):
    groups, rows, columns = codebook.codes.shape
    if codebook.levels.ndim == 1:
        return codebook.levels[codebook.codes.long()]
    table = codebook.levels.reshape(groups, 1, columns, -1).expand(groups, rows, columns, -1)
    return torch.gather(table, 3, codebook.codes.long()[..., None])[..., 0]


@pytest.mark.parametrize(("quantizer", "per_column", "states"), OPTIONS)
@pytest.mark.parametrize("with_data", [False, True])
def test_codebooks_are_well_formed(quantizer, per_column, states, with_data):
    fit = LayerQuantizer(quantizer, 5, per_column, states)
    if with_data:
        codebook = fit.from_outputs(weights(), [(slice(0, 27), moments())])
    else:
        codebook = fit.from_weights(weights(), (3, 3))
    levels, codes = codebook.levels, codebook.codes
    assert levels.dtype == torch.float32
    assert codes.dtype == torch.uint8
    assert levels.shape == ((16, 5) if per_column else (5,))
    assert codes.shape == (2, 27, 8)
    assert (levels.diff() >= 0).all()
    if states is not None:
        share = levels / levels.abs().amax(-1, keepdim=True)
        possible = torch.from_numpy(pair_differences(STATES) / 16.0).float()
        assert (share[..., None] - possible).abs().min(-1).values.max() < 1e-5
    elif quantizer == "uniform":
        steps = levels.diff()
        torch.testing.assert_close(steps, steps[..., :1].expand_as(steps), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("quantizer", "per_column", "with_data"), SUMS)
@pytest.mark.parametrize("levels", [2, 8, 128])
def test_levels_of_bit_slices_are_sums(quantizer, per_column, with_data, levels):
    fit = LayerQuantizer(quantizer, levels, per_column, None, "bit-sliced")
    if with_data:
        codebook = fit.from_outputs(weights(), [(slice(0, 27), moments())])
    else:
        codebook = fit.from_weights(weights(), (3, 3))
    r, c = codebook.multipliers, codebook.offset
    assert r.shape == ((16, fit_bits(levels)) if per_column else (fit_bits(levels),))
    assert c.shape == ((16,) if per_column else (1,))
    expected, _ = sliced_levels(r, c if per_column else c[0])
    assert torch.equal(expected, codebook.levels)
    if quantizer == "uniform":
        torch.testing.assert_close(r, r[..., :1] * 2.0 ** torch.arange(r.shape[-1]))


def fit_bits(levels):
    return levels.bit_length() - 1


@pytest.mark.parametrize("per_column", [False, True])
def test_multipliers_beat_powers_of_two(per_column):
    h = moments()
    blocks = [(slice(0, 27), h)]
    errors = [
        output_error(weights(), decode(LayerQuantizer(q, 16, per_column, None, "bit-sliced")
                                       .from_outputs(weights(), blocks)), h)
        for q in ("n-multiplier", "uniform")
    ]  # fmt: skip
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize(("quantizer", "per_column", "states"), OPTIONS)
def test_data_lowers_the_error_of_outputs(quantizer, per_column, states):
    fit = LayerQuantizer(quantizer, 5, per_column, states)
    h = moments()
    without = output_error(weights(), decode(fit.from_weights(weights(), (3, 3))), h)
    with_data = output_error(
        weights(), decode(fit.from_outputs(weights(), [(slice(0, 27), h)])), h
    )
    assert with_data < 0.8 * without


def test_many_levels_are_left_at_the_nearest():
    codebook = LayerQuantizer("lloyd", 128).from_weights(weights())
    distance = (weights()[..., None] - codebook.levels).abs()
    assert torch.equal(distance.argmin(-1), codebook.codes.long())


def test_a_layer_of_zeros():
    zeros = torch.zeros(1, 9, 4)
    for quantizer, per_column, states in OPTIONS:
        fit = LayerQuantizer(quantizer, 4, per_column, states)
        assert not decode(fit.from_weights(zeros, (3, 3))).any()
        assert not decode(fit.from_outputs(zeros, [(slice(0, 9), moments(1, 9))])).any()


def test_weights_that_are_not_finite_are_refused():
    bad = weights()
    bad[0, 3, 1] = np.nan
    with pytest.raises(UsageError) as caught:
        LayerQuantizer("lloyd", 4).from_weights(bad)
    assert caught.value.code == "CIMC-U30"


def test_without_blocks_nothing_is_known_of_the_inputs():
    fit = LayerQuantizer("lloyd", 4)
    assert fit.from_outputs(weights(), []).codes.shape == (2, 27, 8)
