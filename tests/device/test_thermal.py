"""Conductance against temperature in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import constants

from cimc.device.constants import BOLTZMANN_EV_PER_K, BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C
from cimc.device.thermal import activated_factor, at_temperature, metallic_factor

G_MIN, G_MAX = 2.0, 18.0


def test_constants_are_those_of_codata() -> None:
    assert constants.k == BOLTZMANN_J_PER_K
    assert constants.e == ELEMENTARY_CHARGE_C
    assert constants.value("Boltzmann constant in eV/K") == pytest.approx(BOLTZMANN_EV_PER_K)


def test_factors() -> None:
    assert metallic_factor(350, 300, -2e-3) == pytest.approx(0.9)
    assert metallic_factor(1000, 300, -0.1) == 0.0
    assert activated_factor(350, 300, 0.1) == pytest.approx(1.738, abs=1e-3)
    assert activated_factor(250, 300, 0.1) < 1
    assert activated_factor(300, 300, 0.5) == metallic_factor(300, 300, 0.1) == 1.0


@pytest.mark.parametrize(("metallic", "activated"), [(0.9, 1.7), (1.1, 0.2), (0.8, 0.8)])
def test_states_mix_both(metallic: float, activated: float) -> None:
    s = torch.linspace(0, 1, 33)
    g = (1 - s) * G_MIN + s * G_MAX
    got = at_temperature(g, G_MIN, G_MAX, metallic, activated)
    exact = (1 - s) * G_MIN * activated + s * G_MAX * metallic
    torch.testing.assert_close(got, exact)


def test_beyond_the_ends_and_nothing() -> None:
    got = at_temperature(torch.tensor([0.0, 1.0, 20.0]), G_MIN, G_MAX, 0.9, 1.7)
    np.testing.assert_allclose(got, [0.0, 1.7, 18.0], rtol=1e-6)
    alone = at_temperature(torch.tensor([0.0, 5.0]), 0.0, 10.0, 0.9, 1.7)
    np.testing.assert_allclose(alone, [0.0, 4.5], rtol=1e-6)
