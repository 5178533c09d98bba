"""Noise-aware training runs the same functions: gradients pass through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from cimc.device.device_to_device import vary_states
from cimc.device.drift import OfState, drift
from cimc.device.one_over_f import one_over_f_power
from cimc.device.programming import polynomial_spread, programmed, programmed_lognormal, verified
from cimc.device.relaxation import relax
from cimc.device.seeding import generator
from cimc.device.telegraph import lower_by_traps, telegraph_variance, traps
from cimc.device.thermal import at_temperature

NU, SPREAD = OfState(0.05, -0.01), OfState(0.01, -0.002, (0.0, 0.1))


def stream() -> torch.Generator:
    return generator(1, "test")


EFFECTS: dict[str, Callable[[Tensor], Tensor | float]] = {
    "normal": lambda g: programmed(g, polynomial_spread((0.01, 0.02, 0.01), 18.0), stream()),
    "lognormal": lambda g: programmed_lognormal(g, 0.1, stream()),
    "verified": lambda g: verified(
        g, partial(programmed, spread=0.3, generator=stream()), 0.3, 4
    ),
    "device-to-device": lambda g: vary_states(g, 2.0, 18.0, 0.1, 0.1, "lognormal", stream()),
    "relaxation": lambda g: relax(g, 2.0, 0.05, 0.1, 2.0, stream()),
    "drift": lambda g: drift(g, 100.0, 18.0, NU, SPREAD, stream()),
    "temperature": lambda g: at_temperature(g, 2.0, 18.0, 0.9, 1.4),
    "telegraph": lambda g: lower_by_traps(g, traps(g.shape, 0.5, stream()), 0.1, 0.5),
    "telegraph variance": lambda g: telegraph_variance(g, None, 0.1, 0.5),
    "1/f": lambda g: one_over_f_power(g, 18.0, 0.01, 0.5, 0.2, 3.0),
}  # fmt: skip


@pytest.mark.parametrize("name", EFFECTS)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    """Draws are fixed by their stream, so an effect is a function of the conductance."""
    effect, step = EFFECTS[name], 0.02
    g = torch.linspace(2.5, 17.5, 12, dtype=torch.float64, requires_grad=True)
    value = effect(g * 1.0)
    assert isinstance(value, Tensor)
    value.sum().backward()
    with torch.no_grad():
        up, down = effect(g + step), effect(g - step)
        slope = (up - down) / (2 * step)
    assert g.grad is not None
    torch.testing.assert_close(g.grad, torch.as_tensor(slope).double(), rtol=2e-3, atol=2e-3)
