import pytest

from cimc.errors import CimcError
from cimc.verification import verify
from tests.verification.fakes import factory, float_network, program


def test_golden_vectors_are_reproduced() -> None:
    report = verify(program(golden=True), chips=3, executor_factory=factory(0.0))
    assert (report.metric, report.baseline, report.passed) == ("snr_db", "golden", True)
    assert (report.samples, report.chips) == (2, 3)
    assert report.per_layer_snr_db == {"fc": float("inf")}


def test_a_program_that_does_not_reproduce_them_fails() -> None:
    wrong = factory(lambda mode, seed: 0.01 if mode == "noise-free" else 0.0)
    report = verify(program(golden=True), chips=2, executor_factory=wrong)
    assert not report.passed
    assert [w.split(":")[0] for w in report.warnings] == [
        "golden outputs are not reproduced",
        "golden layer 'fc' is not reproduced",
    ]


def test_noisy_chips_do_not_fail_it() -> None:
    noisy = factory(lambda mode, seed: 0.01 if mode == "chip" else 0.0)
    report = verify(program(golden=True), chips=3, executor_factory=noisy)
    assert report.passed
    assert report.mean < 10


def test_gates_need_data() -> None:
    with pytest.raises(CimcError) as caught:
        verify(program(golden=True), min_accuracy=0.9, executor_factory=factory(0.0))
    assert caught.value.code == "CIMC-U03"


def test_a_reference_alone_is_compared_on_the_golden_inputs() -> None:
    report = verify(
        program(golden=True), reference=float_network, chips=2, executor_factory=factory(0.0)
    )
    assert (report.metric, report.samples) == ("agreement", 2)
