"""Schedules against their closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from cimc.training.schedule import learning_rate, on_chips, penalty_weight
from tests.training.toy import recipe


def test_cosine_is_torch_s_cosine_annealing() -> None:
    given = recipe(epochs=5, learning_rate=0.3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=35)
    for step in range(35):
        assert learning_rate(given, step, 7) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


def test_step_multiplies_at_each_milestone() -> None:
    given = recipe(epochs=6, learning_rate=1.0, schedule="step", milestones=(2, 4), gamma=0.1)
    rates = [learning_rate(given, 10 * epoch + 9, 10) for epoch in range(6)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_constant_is_constant() -> None:
    given = recipe(schedule="constant", learning_rate=0.7)
    assert {learning_rate(given, step, 4) for step in range(12)} == {0.7}


def test_lambda_stays_then_grows_exponentially_to_its_end() -> None:
    given = recipe(epochs=10, lambda_start=100.0, lambda_end=2000.0, lambda_epochs=4)
    weights = [penalty_weight(given, step, 5) for step in range(50)]
    assert weights[:30] == [100.0] * 30
    ratios = [b / a for a, b in itertools.pairwise(weights[29:])]
    assert ratios == pytest.approx([20 ** (1 / 20)] * 20)
    assert weights[-1] == pytest.approx(2000.0)


@pytest.mark.parametrize(("epochs", "growing"), [(1, 1), (5, 1), (30, 3)])
def test_lambda_grows_over_a_tenth_of_all_epochs_unless_told(epochs: int, growing: int) -> None:
    given = recipe(epochs=epochs, lambda_epochs=0)
    weights = [penalty_weight(given, step, 4) for step in range(4 * epochs)]
    assert sum(w > 100.0 for w in weights) == 4 * growing
    assert weights[-1] == pytest.approx(2000.0)


def test_no_exponential_leads_from_zero() -> None:
    given = recipe(epochs=2, lambda_start=0.0, lambda_end=3.0, lambda_epochs=1)
    assert [penalty_weight(given, step, 2) for step in range(4)] == [0.0, 0.0, 3.0, 3.0]
    assert all(math.isfinite(penalty_weight(given, step, 0)) for step in range(2))


def test_warm_up_and_runs_without_noise_take_no_chips() -> None:
    warm = recipe(warm_up_epochs=2)
    assert [on_chips(warm, epoch) for epoch in range(4)] == [False, False, True, True]
    assert not on_chips(recipe(noise="none"), 3)
    assert on_chips(recipe(noise="gaussian"), 0)
