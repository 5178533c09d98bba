"""Draws of training: permutations, disjoint ranges of chips, the same whenever they are drawn."""

from __future__ import annotations

import pytest

from cimc.errors import UsageError
from cimc.training import drawn
from cimc.verification.options import Options


def test_an_order_is_a_permutation_of_its_own_for_every_epoch_and_seed() -> None:
    orders = [drawn.order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert drawn.order(0, 1, 50) == orders[1]


@pytest.mark.parametrize(
    ("share", "count", "held"), [(0.1, 100, 10), (0.0, 100, 0), (0.1, 5, 0), (0.99, 2, 1)]
)
def test_held_out_samples_are_none_of_those_that_train(
    share: float, count: int, held: int
) -> None:
    train, out = drawn.held_out(3, share, count)
    assert len(out) == held
    assert sorted(train + out) == list(range(count))


def test_chips_of_training_evaluation_and_tests_have_nothing_in_common() -> None:
    training = [drawn.training_chip(seed, step) for seed in range(5) for step in range(2000)]
    evaluation = [chip for seed in range(5) for chip in drawn.evaluation_chips(seed, 200)]
    assert len(set(training)) == len(training)
    assert all(drawn.TRAINING <= chip < 2**63 for chip in training)
    assert all(drawn.EVALUATION <= chip < drawn.TRAINING for chip in evaluation)
    # The largest seed of a test, with the most chips there are, ends below both.
    Options(seed=2**62 - 1, chips=1_000_000).check()
    with pytest.raises(UsageError):
        Options(seed=2**62 + 1).check()
    assert drawn.EVALUATION > 2**62 + 1_000_000
