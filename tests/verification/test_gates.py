import numpy as np
import pytest
from scipy import stats

from cimc.verification.gates import Decider, Estimate, Gate
from cimc.verification.intervals import Interval, student

MEAN = Estimate(confidence=0.95, quantile=None, bounded=True)


def run(decider: Decider, values: list[float]) -> int:
    """Feed chips until it stops; return how many it took."""
    used = 0
    for value in values:
        used += 1
        if decider.update(value):
            break
    decider.finish()
    return used


@pytest.mark.parametrize(
    ("interval", "decision"),
    [
        (Interval(0.9, 0.95, ""), "passed"),
        (Interval(0.91, None, ""), "passed"),
        (Interval(0.89, 0.9, ""), "undecided"),
        (Interval(0.8, 0.899, ""), "failed"),
        (Interval(None, None, ""), "undecided"),
    ],
)
def test_passes_only_on_the_lower_bound(interval: Interval, decision: str) -> None:
    assert Gate(0.9).decide(interval) == decision


def test_clear_cases_are_decided_early_in_both_directions() -> None:
    good, bad = Decider(MEAN, Gate(0.6)), Decider(MEAN, Gate(0.95))
    values = np.random.default_rng(0).normal(0.9, 0.01, 100).clip(0, 1).tolist()
    assert run(good, values) < 20
    assert good.decision == "passed"
    assert good.interval.method == "bounded-sequence"
    assert run(bad, [v - 0.5 for v in values]) < 20
    assert bad.decision == "failed"


def test_a_close_case_takes_all_chips_and_the_last_look_decides() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.002, 50).tolist()
    decider = Decider(MEAN, Gate(0.895))
    assert run(decider, values) == 50
    assert decider.decision == "passed"
    # Half of the 5 % went to the early looks.
    assert decider.interval == student(values, 0.975)


def test_undecided_at_the_end() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.002, 20).tolist()
    decider = Decider(MEAN, Gate(float(np.mean(values))))
    run(decider, values)
    assert decider.decision == "undecided"


def test_without_a_gate_there_is_one_look_at_full_confidence() -> None:
    values = [0.9, 0.91, 0.92]
    decider = Decider(MEAN, None)
    assert run(decider, values) == 3
    assert decider.interval == student(values, 0.95)


def test_equal_values_do_not_make_a_certainty() -> None:
    decider = Decider(MEAN, None)
    run(decider, [1.0] * 20)
    assert decider.interval.method == "bounded"
    assert decider.interval.low is not None
    assert decider.interval.low < 0.95


def test_student_is_clipped_to_shares() -> None:
    decider = Decider(MEAN, None)
    run(decider, [0.999, 1.0, 0.9])
    assert decider.interval.high == 1.0


def test_unbounded_metrics_wait_for_the_last_look() -> None:
    decider = Decider(Estimate(0.95, None, bounded=False), Gate(10.0))
    assert run(decider, [20.0, 21.0, 22.0]) == 3
    assert decider.interval == student([20.0, 21.0, 22.0], 0.95)
    assert decider.decision == "passed"


def test_quantile_gate_uses_order_statistics() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.01, 120).tolist()
    decider = Decider(Estimate(0.95, 0.05, bounded=True), Gate(0.85))
    run(decider, values)
    assert decider.decision == "passed"
    assert decider.interval.low in values


@pytest.mark.parametrize("quantile", [None, 0.1])
def test_the_reported_interval_keeps_its_promise_whenever_it_stopped(
    quantile: float | None,
) -> None:
    """Gates right at, just above and below the truth: those stop at all kinds of times."""
    runs, misses = 300, 0
    truth = 0.85 if quantile is None else 0.85 + 0.05 * float(stats.norm.ppf(quantile))
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        values = draw.normal(0.85, 0.05, 60).clip(0, 1).tolist()
        gate = Gate(truth + draw.choice([-0.2, -0.02, 0.0, 0.02, 0.2]))
        decider = Decider(Estimate(0.95, quantile, bounded=True), gate)
        run(decider, values)
        low, high = decider.interval.low, decider.interval.high
        misses += (low is not None and low > truth) or (high is not None and high < truth)
    assert misses <= stats.binom.ppf(0.999, runs, 0.05)


def test_false_passes_are_rare_when_the_truth_is_just_below() -> None:
    runs, passes = 300, 0
    for seed in range(runs):
        values = np.random.default_rng(seed).normal(0.9, 0.01, 30).tolist()
        decider = Decider(MEAN, Gate(0.9 + 1e-9))
        run(decider, values)
        passes += decider.decision == "passed"
    assert passes <= stats.binom.ppf(0.999, runs, 0.05)


def test_under_normality_a_close_case_is_decided_early() -> None:
    values = np.random.default_rng(0).normal(0.9922, 0.0003, 50).tolist()
    normal = Estimate(0.95, None, bounded=True, normal=True, resolution=1 / 5000)
    decider = Decider(normal, Gate(0.9836))
    assert run(decider, values) < 10
    assert (decider.decision, decider.interval.method) == ("passed", "normal-sequence")
