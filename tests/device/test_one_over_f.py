from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from cimc.device.one_over_f import one_over_f_power, spectrum_factor


def test_factor_is_the_power_of_the_spectrum() -> None:
    for t in (1e-3, 1.0, 86400.0):
        low, high = math.log(1 / (t + 250e-9)), math.log(1 / 500e-9)
        power, _ = integrate.quad(lambda u: math.exp(u) / math.exp(u), low, high)  # df / f
        assert spectrum_factor(t, 250e-9) == pytest.approx(power)


@pytest.mark.parametrize("t", [0.0, 1e-7, 250e-9])
def test_none_before_the_first_read_is_over(t: float) -> None:
    assert spectrum_factor(t, 250e-9) == 0.0


def test_grows_towards_low_conductance_up_to_a_limit() -> None:
    """Joshi et al. (2020): q = min(0.0088 (G / g_max)^-0.65, 0.2)."""
    g = torch.tensor([0.0, 0.1, 1.0, 25.0])
    got = one_over_f_power(g, 25.0, 0.0088, 0.65, 0.2, 3.0)
    exact = [0.2, 0.2, 0.0088 * 25**0.65, 0.0088]
    np.testing.assert_allclose(got, 3.0 * np.square(exact), rtol=1e-5)
    assert g.tolist() == pytest.approx([0.0, 0.1, 1.0, 25.0])


def test_a_number_where_it_does_not_depend_on_the_state() -> None:
    assert one_over_f_power(torch.ones(3), 25.0, 0.1, 0.0, 1.0, 2.0) == pytest.approx(0.02)
    assert one_over_f_power(torch.ones(3), 25.0, 0.0, 0.5, 1.0, 2.0) == 0.0
