"""I-V curves against their definitions in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cimc.device.nonlinearity import polynomial_curve, sinh_curve

U = torch.linspace(-1, 1, 2001)


@pytest.mark.parametrize("ratio", [1e-3, 0.1, 1.0, 5.0, 50.0, 500.0])
def test_sinh(ratio) -> None:
    """Relative error of a few float32 roundings; beyond a ratio of 700 numpy itself overflows."""
    got = sinh_curve(U, 0.2, 0.2 / ratio).double().numpy()
    u = U.double().numpy()
    wanted = np.sinh(u * ratio) / np.sinh(ratio)
    # exp(a(|u|-1)) has the absolute error of its exponent: a roundings.
    np.testing.assert_allclose(got, wanted, rtol=4e-7 * max(1.0, ratio), atol=1e-37)


def test_small_inputs_keep_their_digits() -> None:
    u = torch.tensor([1e-7, -3e-20])
    wanted = u.double().numpy() * 2.0 / np.sinh(2.0)
    np.testing.assert_allclose(sinh_curve(u, 0.4, 0.2).numpy(), wanted, rtol=1e-6)


def test_very_steep_curves_do_not_overflow() -> None:
    got = sinh_curve(U, 1000.0, 0.01)
    assert torch.isfinite(got).all()
    assert got[-1] == 1.0


@pytest.mark.parametrize("coefficients", [(1.0,), (1.0, 0.5), (2.0, 0.0, -0.5), (0.3, 0.1, 4.0)])
def test_polynomial(coefficients) -> None:
    u = U.double().numpy()
    wanted = sum(a * u * np.abs(u) ** k for k, a in enumerate(coefficients)) / sum(coefficients)
    got = polynomial_curve(U, coefficients).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("curve", [lambda u: sinh_curve(u, 0.2, 0.1),
                                   lambda u: polynomial_curve(u, (1.0, 0.4, 0.1))])  # fmt: skip
def test_full_scale_is_exact_and_curves_are_odd(curve) -> None:
    assert curve(torch.tensor([1.0, 0.0])).tolist() == pytest.approx([1.0, 0.0], rel=2e-7)
    torch.testing.assert_close(curve(-U), -curve(U))


def test_gradients_flow() -> None:
    u = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: sinh_curve(v, 0.3, 0.1), (u,))
    assert torch.autograd.gradcheck(lambda v: polynomial_curve(v, (1.0, 0.5)), (u,))


def test_the_derivative_at_0_is_that_of_the_curve() -> None:
    """``a / sinh a`` with ``a = v_read / V0``: a word line that is not driven learns too."""
    u = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(sinh_curve(u, 0.3, 0.1).sum(), u)
    assert float(slope) == pytest.approx(3.0 / math.sinh(3.0))
