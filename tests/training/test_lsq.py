"""Learned input steps: the codes of the DAC, and the gradient of LSQ."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.device.converters import dac_codes, largest_code
from cimc.errors import UsageError
from cimc.training.lsq import InputStep

STEPS = st.floats(1e-6, 1e4).map(lambda v: float(np.float32(v)))


def around(step, q):
    """Inputs on, and one float beside, every code and every tie; and far out."""
    at = torch.arange(-2 * q - 3, 2 * q + 4, dtype=torch.float32) * 0.5 * step
    far = torch.tensor([1e3, -1e3]) * step * q
    inf = torch.full((), torch.inf)
    beside = [torch.nextafter(at, inf), torch.nextafter(at, -inf)]
    return torch.cat([at, *beside, far, torch.randn(200) * step * q])


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(2, 8), st.booleans(), st.floats(0.05, 3.0))
def test_the_dac_makes_the_same_codes(step, bits, signed, moved):
    module = InputStep(bits, signed, step)
    with torch.no_grad():
        module.relative.copy_(torch.tensor(moved))
    x = around(float(module.step().detach()), module.q)
    dac = module.dac()
    assert (dac.bits, dac.signed, dac.policy) == (bits, signed, "static")
    q = largest_code(bits, signed=signed)
    codes = dac_codes(x, q / dac.x_max, bits, signed=signed)
    with torch.no_grad():
        held = module(x)
    assert torch.equal(held, codes * module.step())
    assert float(held.abs().max()) == pytest.approx(dac.x_max, rel=1e-6)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_gradient_is_that_of_lsq(bits, signed):
    """Esser et al. Eq. 3 and 5, element by element; scale 1 / sqrt(N Q_P), N of one sample."""
    module = InputStep(bits, signed, 0.37)
    q = module.q
    low = -q if signed else 0
    generator = torch.Generator().manual_seed(bits)
    x = (torch.randn(6, 5, 3, generator=generator) * 0.37 * q).requires_grad_()
    gradient = torch.randn(6, 5, 3, generator=generator)
    module(x).backward(gradient)
    step = float(module.step().detach())
    total = 0.0
    for value, g, got in zip(
        x.detach().flatten().tolist(), gradient.flatten().tolist(), x.grad.flatten().tolist(),
        strict=True,
    ):  # fmt: skip
        ratio = value / step
        if ratio < low:
            total, wanted = total + g * low, 0.0
        elif ratio > q:
            total, wanted = total + g * q, 0.0
        else:
            total, wanted = total + g * (round(ratio) - ratio), g
        assert got == pytest.approx(wanted)
    expected = total / np.sqrt(15 * q) * 0.37  # relative to the first step
    assert float(module.relative.grad) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_only_the_input_is_kept():
    module, kept = InputStep(8, True, 0.1), []
    x = torch.randn(4, 100, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module(x)
    large = [t for t in kept if t.numel() >= 100]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]


@pytest.mark.parametrize("start", [0.1, 0.6])
def test_a_step_learns_the_range(start):
    """Descent on the error of rounding comes near the best of a search over steps."""
    x = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    module = InputStep(4, True, start)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        ((module(x) - x) ** 2).sum().backward()
        optimizer.step()
    tried = {
        s: float(((dac_codes(x, 1 / s, 4, signed=True) * s - x) ** 2).mean())
        for s in np.linspace(0.1, 0.8, 141)
    }
    with torch.no_grad():
        assert float(((module(x) - x) ** 2).mean()) < 1.1 * min(tried.values())


def test_a_step_stays_positive():
    module = InputStep(4, False, 0.5)
    for value in (-0.3, 0.0):
        with torch.no_grad():
            module.relative.copy_(torch.tensor(value))
        assert float(module.step().detach()) > 0
        assert module.dac().x_max > 0


def test_a_state_dict_is_all_there_is_to_know():
    module, fresh = InputStep(5, True, 0.2), InputStep(5, True, 0.7)
    with torch.no_grad():
        module.relative.mul_(1.3)
    fresh.load_state_dict(module.state_dict())
    assert fresh.dac() == module.dac()


@pytest.mark.parametrize("bits", [1, 9])
def test_resolutions_that_are_not_trained_are_refused(bits):
    with pytest.raises(UsageError) as info:
        InputStep(bits, True, 1.0)
    assert info.value.code == "CIMC-U51"


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_steps_that_are_none_are_refused(step):
    with pytest.raises(UsageError) as info:
        InputStep(4, True, step)
    assert info.value.code == "CIMC-U51"
