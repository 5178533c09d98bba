"""Johnson noise in closed form."""

from __future__ import annotations

import pytest

from cimc.device.johnson import johnson_variance_us


def test_textbook_value() -> None:
    """1 kohm at 300 K in 10 kHz: sqrt(4 k T B / R) = 407 pA rms."""
    g_us, v_read = 1000.0, 0.2
    sigma_i = (johnson_variance_us(300.0, 1e4, v_read) * g_us) ** 0.5 * 1e-6 * v_read
    assert sigma_i == pytest.approx((4 * 1.380649e-23 * 300 * 1e4 / 1e3) ** 0.5, rel=1e-12)
    assert sigma_i == pytest.approx(407.0e-12, rel=1e-3)


def test_proportional_to_temperature_and_bandwidth() -> None:
    one = johnson_variance_us(300.0, 1e8, 0.2)
    assert johnson_variance_us(600.0, 1e8, 0.2) == pytest.approx(2 * one)
    assert johnson_variance_us(300.0, 5e8, 0.2) == pytest.approx(5 * one)
    assert johnson_variance_us(300.0, 1e8, 0.1) == pytest.approx(4 * one)
