"""Every sample runs and says what its ``expected.txt`` says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo import cache

SAMPLES = sorted((cache.ROOT / "samples").glob("[0-9]*"))
#: What each sample reads from the cache; it is skipped where one is missing.
NEEDS = {
    "01_onnx_digits": ("models/mnist-conv.onnx", "data/digits.npz"),
    "02_torch_fashion": ("data/fashion-train.npz", "data/fashion-test.npz"),
    "03_text_recognizer": ("models/ppocr-rec.onnx", "data/lines.npz"),
    "04_train_for_the_chip": ("data/fashion-train.npz", "data/fashion-test.npz"),
    "05_recompile_for_a_chip": (
        "models/mnist-conv.onnx",
        "data/digits.npz",
        "data/digits-calibration.npz",
    ),
}
#: Shares may differ so much between machines: other roundings, other draws in training.
SHARE, COUNT = 0.02, 2
NUMBER = re.compile(r"\d+\.\d+|\d+")


def assert_same(said: str, expected: str) -> None:
    """Compare line by line: words exactly, shares and counts within their tolerance."""
    assert NUMBER.sub("#", said) == NUMBER.sub("#", expected)
    for got, want in zip(NUMBER.findall(said), NUMBER.findall(expected), strict=True):
        tolerance = SHARE if "." in want else COUNT
        assert abs(float(got) - float(want)) <= tolerance, f"{got} for {want} in:\n{said}"


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda folder: folder.name)
def test_the_sample_says_what_it_is_expected_to(sample: Path) -> None:
    for name in NEEDS[sample.name]:
        cache.need(cache.CACHE / name)
    done = subprocess.run(
        [sys.executable, str(sample / "run.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_same(done.stdout, (sample / "expected.txt").read_text())


def test_every_sample_is_complete() -> None:
    assert {sample.name for sample in SAMPLES} == set(NEEDS)
    for sample in SAMPLES:
        assert {"README.md", "run.py", "expected.txt"} <= {path.name for path in sample.iterdir()}


def test_the_comparison_sees_a_changed_figure_and_a_changed_word() -> None:
    assert_same("mean 0.9213 of 5", "mean 0.9210 of 5")
    for other in ("mean 0.8913 of 5", "mean 0.9213 of 8", "worst 0.9213 of 5"):
        with pytest.raises(AssertionError):
            assert_same(other, "mean 0.9213 of 5")
