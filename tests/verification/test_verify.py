import json
import math
from pathlib import Path

import numpy as np
import pytest

from cimc.errors import CimcError
from cimc.verification import verify
from tests.verification.fakes import data, factory, float_network, program


def refused(code: str, **options: object) -> str:
    with pytest.raises(CimcError) as caught:
        verify(program(), executor_factory=factory(0.0), **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    return str(caught.value)


def by_mode(mode: str, seed: int) -> float:
    """Ideal loses nothing, converters 1 %, chips 5 to 7 %."""
    return {"ideal": 0.0, "noise-free": 0.01}.get(mode, 0.05 + seed % 3 / 100)


def test_the_four_words() -> None:
    report = verify(
        program(), reference=float_network, data=data(), chips=6, executor_factory=factory(by_mode)
    )
    assert report.metric == "top1"
    assert report.baseline == "float"
    assert (report.reference, report.ideal, report.noise_free) == (1.0, 1.0, 0.99)
    assert report.values == pytest.approx((0.95, 0.94, 0.93) * 2)
    assert report.mean == pytest.approx(0.94)
    assert report.std == pytest.approx(np.std([0.95, 0.94, 0.93] * 2, ddof=1))
    assert (report.min, report.max, report.worst_chip) == (0.93, 0.95, 2)
    assert report.ci_low is not None
    assert report.ci_low < 0.94
    assert (report.chips, report.samples, report.confidence) == (6, 100, 0.95)
    assert report.agreement == pytest.approx(0.94)
    assert report.passed
    assert report.decision is None


def test_chips_have_consecutive_seeds_and_share_one_executor() -> None:
    runs: list[tuple[str, int, int]] = []
    verify(
        program(),
        reference=float_network,
        data=data(),
        chips=3,
        seed=40,
        executor_factory=factory(0.0, runs),
    )
    assert [seed for mode, seed, _ in runs if mode == "chip"] == [40, 41, 42]


def test_a_clear_pass_and_a_clear_failure_stop_early() -> None:
    noisy = factory(by_mode)
    options = {"reference": float_network, "data": data(), "chips": 500}
    passed = verify(program(), executor_factory=noisy, min_accuracy=0.6, **options)  # type: ignore[arg-type]
    assert (passed.passed, passed.decision) == (True, "passed")
    assert passed.chips < 30
    failed = verify(program(), executor_factory=noisy, min_accuracy=0.999, **options)  # type: ignore[arg-type]
    assert (failed.passed, failed.decision) == (False, "failed")
    assert failed.chips < 500


def test_undecided_is_not_passed() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(),
        chips=6,
        min_accuracy=0.94,
        executor_factory=factory(by_mode),
    )
    assert (report.passed, report.decision, report.chips) == (False, "undecided", 6)


def test_max_drop_is_measured_from_the_float_network() -> None:
    arrays = data()
    arrays["labels"][:10] ^= 1  # the float network is 90 % right
    report = verify(
        program(),
        reference=float_network,
        data=arrays,
        chips=40,
        max_drop=0.1,
        executor_factory=factory(by_mode),
    )
    assert report.reference == pytest.approx(0.9)
    assert report.threshold == pytest.approx(0.8)
    assert report.passed


def test_both_gates_hold() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(),
        chips=5,
        max_drop=0.5,
        min_accuracy=0.7,
        executor_factory=factory(by_mode),
    )
    assert report.threshold == 0.7


def test_quantile_gate() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(),
        chips=150,
        quantile=0.1,
        min_accuracy=0.92,
        executor_factory=factory(by_mode),
    )
    assert report.quantile_value == pytest.approx(0.93)
    assert report.passed
    few = verify(
        program(),
        reference=float_network,
        data=data(),
        chips=10,
        quantile=0.1,
        executor_factory=factory(by_mode),
    )
    assert few.ci_low is None
    assert "at least 36" in few.warnings[-1]


def test_ideal_mode_is_one_certain_run() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(),
        mode="ideal",
        min_accuracy=1.0,
        executor_factory=factory(by_mode),
    )
    assert (report.mean, report.ci_low, report.chips, report.interval) == (1.0, 1.0, 1, "exact")
    assert report.passed


def test_a_target_without_randomness_needs_one_chip() -> None:
    runs: list[tuple[str, int, int]] = []
    report = verify(
        program(target="ideal"),
        reference=float_network,
        data=data(),
        chips=50,
        executor_factory=factory(0.02, runs),
    )
    assert (report.chips, report.ci_low, report.ci_high) == (1, 0.98, 0.98)
    assert len([r for r in runs if r[0] == "chip"]) == 1


def test_without_labels_the_decisions_of_the_float_network_count() -> None:
    report = verify(
        program(),
        reference=float_network,
        data=data(labels=False),
        chips=4,
        executor_factory=factory(by_mode),
    )
    assert (report.metric, report.reference) == ("agreement", 1.0)


def test_without_a_reference_the_ideal_program_stands_in_and_says_so() -> None:
    report = verify(program(), data=data(), chips=2, executor_factory=factory(by_mode))
    assert (report.baseline, report.reference) == ("ideal", None)
    assert "no reference" in report.warnings[0]
    assert "--reference" in refused("CIMC-U03", data=data(), max_drop=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"chips": 0},
        {"confidence": 1.0},
        {"confidence": math.nan},
        {"quantile": 0.0},
        {"min_accuracy": 95.0},
        {"max_drop": -0.1},
        {"seed": -1},
        {"mode": "fast"},
    ],
)
def test_values_out_of_range(options: dict[str, object]) -> None:
    text = refused("CIMC-U02", data=data(), **options)
    assert "--" + next(iter(options)).replace("_", "-") in text


def test_nothing_to_verify_with() -> None:
    refused("CIMC-U04")


def test_json_is_finite_and_complete(tmp_path: Path) -> None:
    report = verify(
        program(), reference=float_network, data=data(), chips=1, executor_factory=factory(0.0)
    )
    assert report.snr_db == math.inf
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["snr_db"] is None
    contract = (
        "metric reference ideal noise_free mean std min max ci_low ci_high confidence chips "
        "samples agreement snr_db per_layer_snr_db passed"
    )
    assert set(contract.split()) <= plain.keys()


def test_progress_runs_from_nothing_to_all() -> None:
    seen: list[tuple[str, float]] = []
    verify(
        program(),
        reference=float_network,
        data=data(),
        chips=3,
        executor_factory=factory(by_mode),
        progress=lambda what, share: seen.append((what, share)),
    )
    assert {what for what, _ in seen} >= {"ideal", "float reference", "noise-free", "chips"}
    assert all(0.0 <= share <= 1.0 for _, share in seen)
    assert ("chips", 1.0) in seen
