"""Time, lines, temperature and traps through the cells of the executor."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from cimc.executor.ageing import broken_lines
from cimc.executor.idle import idle_us
from tests.executor.devices import chip, filled, physics

#: Reads after 1 s, 1 h, 1 d and a month [s].
TIMES = [1.0, 3600.0, 86400.0, 2.6e6]


@pytest.mark.parametrize("at_s", TIMES)
def test_drift_is_the_power_law(at_s: float) -> None:
    states = torch.linspace(2, 18, 100)
    plus, _ = chip(filled(states), physics(at_s, noise__drift={"nu": 0.05, "t0": "1 s"}))
    exact = (states.double() * at_s**-0.05).expand(1, 200, 100)
    torch.testing.assert_close(plus.double(), exact, rtol=2e-6, atol=0)


@pytest.mark.parametrize("at_s", TIMES)
def test_drift_with_spread(at_s: float) -> None:
    """20,000 cells: the lognormal in closed form; false alarms once in 1e4 seeds."""
    law = {"nu": 0.05, "nu_sigma": 0.02, "t0": "20 s"}
    plus, _ = chip(filled(10.0), physics(at_s, noise__drift=law))
    if at_s <= 20:
        assert plus.unique().tolist() == [10.0]
        return
    log = math.log(at_s / 20)
    exact = stats.lognorm(0.02 * log, scale=10.0 * math.exp(-0.05 * log))
    assert stats.kstest(plus.numpy().ravel(), exact.cdf).pvalue > 1e-4


def test_relaxation_goes_to_rest_and_spreads() -> None:
    loss = {"rate": 0.1, "sigma_relative": 0.01, "rest": "4 uS"}
    plus, _ = chip(filled(18.0), physics(9999.0, noise__relaxation=loss))
    exact = stats.norm(4 + 14 * 0.6, 0.16 * 2)
    assert stats.kstest(plus.numpy().ravel(), exact.cdf).pvalue > 1e-4
    at_rest, _ = chip(filled(10.0), physics(9999.0, noise__relaxation={"rate": 0.1}))
    np.testing.assert_allclose(at_rest, 2 + 8 * 0.6, rtol=1e-6)
    now, _ = chip(filled(10.0), physics(0.0, noise__relaxation=loss))
    assert now.unique().tolist() == [10.0]


def test_temperature() -> None:
    t = {"temperature": "350 K", "tc_lrs_per_k": -2e-3, "ea_hrs": "0.1 eV"}
    plus, _ = chip(filled(torch.linspace(2, 18, 100)), physics(noise__thermal=t))
    s = np.linspace(0, 1, 100)
    hrs = 2 * math.exp(-0.1 / 8.617333262e-5 * (1 / 350 - 1 / 300))
    np.testing.assert_allclose(plus[0, 0], (1 - s) * hrs + s * 18 * 0.9, rtol=1e-5)


def test_traps_lower_the_mean() -> None:
    trap = {"amplitude": 0.2, "occupancy": 0.25, "cells": 0.5}
    plus, _ = chip(filled(10.0), physics(noise__read={"telegraph": trap}))
    assert plus.unique().tolist() == pytest.approx([9.5, 10.0])
    assert float((plus < 10).float().mean()) == pytest.approx(0.5, abs=0.018)


def test_word_lines_and_bit_lines_break_independently() -> None:
    modelled = physics(lines={"open_word_line": 0.5, "open_bit_line": 0.5})
    word, bit = broken_lines(modelled, 5, 0, 128, 128)
    assert 32 < int((word.open == bit.open).sum()) < 96
    elsewhere, _ = broken_lines(modelled, 5, 1, 128, 128)
    assert 32 < int((word.open == elsewhere.open).sum()) < 96


def test_broken_lines_are_whole_lines() -> None:
    """Pairs lie on adjacent bit lines: a broken one hits one of the two cells."""
    rates = {
        "open_word_line": 0.05, "open_bit_line": 0.1, "stuck_word_line": 0.06,
        "stuck_bit_line": 0.07,
    }  # fmt: skip
    modelled, one = physics(lines=rates), filled(10.0, (256, 128))
    word, bit = broken_lines(modelled, 5, 0, 256, 256)
    exact = torch.full((256, 256), 10.0)
    exact[word.stuck] = 18.0
    exact[:, bit.stuck] = 18.0
    exact[word.open] = 0.0
    exact[:, bit.open] = 0.0
    plus, minus = chip(one, modelled, seed=5)
    assert torch.equal(plus[0], exact[:, 0::2])
    assert torch.equal(minus[0], exact[:, 1::2])
    counts = [int(x.sum()) for x in (word.open, word.stuck, bit.open, bit.stuck)]
    for count, rate in zip(counts, (0.05, 0.06, 0.1, 0.07), strict=True):
        assert stats.binomtest(count, 256, rate).pvalue > 1e-4


def test_idle_cells_share_lines_and_temperature_with_the_others() -> None:
    t = {"temperature": "350 K", "tc_lrs_per_k": -2e-3, "ea_hrs": "0.1 eV"}
    rates = {"open_bit_line": 0.2, "stuck_word_line": 0.2}
    modelled, one = physics(noise__thermal=t, lines=rates), filled(2.0, (256, 128))
    idle = idle_us(modelled, 5, 0, torch.device("cpu"))
    plus, minus = chip(one, modelled, seed=5)
    assert torch.equal(idle[:, 0::2], plus[0])
    assert torch.equal(idle[:, 1::2], minus[0])
    assert len(idle.unique()) == 3
    assert idle_us(physics(), 5, 0, torch.device("cpu")).unique().tolist() == [2.0]
