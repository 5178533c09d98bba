import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.device.converters import adc_codes, dac_codes, largest_code


@pytest.mark.parametrize(("bits", "signed", "q"), [(8, True, 127), (8, False, 255), (1, False, 1)])
def test_largest_code(bits: int, signed: bool, q: int) -> None:
    assert largest_code(bits, signed=signed) == q


def test_halves_go_to_even_then_clamp() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 6.5, 7.5, 7.4, -99.0])
    assert dac_codes(x.clone(), 1.0, 4, signed=True).tolist() == [0, 2, 2, 0, -2, 6, 7, 7, -7]
    assert dac_codes(x.clone(), 1.0, 3, signed=False).tolist() == [0, 2, 2, 0, 0, 6, 7, 7, 0]


def test_in_place() -> None:
    x = torch.tensor([1.2])
    assert adc_codes(x, 10.0, 8) is x
    assert x.tolist() == [12.0]


@given(seed=st.integers(0, 10**6), bits=st.integers(2, 12), inv_lsb=st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_adc_is_round_of_the_float32_product(seed: int, bits: int, inv_lsb: float) -> None:
    current = np.random.default_rng(seed).normal(0, 100, 300).astype(np.float32)
    q = 2 ** (bits - 1) - 1
    expected = np.clip(np.rint(current * np.float32(inv_lsb)), -q, q)

    codes = adc_codes(torch.from_numpy(current.copy()), inv_lsb, bits)

    np.testing.assert_array_equal(codes.numpy(), expected)


def test_scale_per_sample() -> None:
    x = torch.tensor([[1.0, 0.5], [10.0, 5.0]])
    scale = 127 / x.abs().amax(1, keepdim=True)
    assert dac_codes(x, scale, 8, signed=True).tolist() == [[127, 64], [127, 64]]
