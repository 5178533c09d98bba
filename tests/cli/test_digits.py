"""The main job on a network nobody here wrote: qonnx mnist-conv on ``rram``, 8 Lloyd levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.zoo import cache
from tests.zoo.digits import INPUT, digits


def verified(call: Call, folder: Path, samples: int, chips: int) -> dict[str, float]:
    """Compile with 256 digits, verify with others; return the report."""
    model = cache.model("mnist-conv.onnx")
    images, labels = digits()
    np.savez(folder / "calibration.npz", **{INPUT: images[-256:]})
    np.savez(folder / "digits.npz", **{INPUT: images[:samples]}, labels=labels[:samples])
    done = call(
        *("compile", model, "--target", "rram", "--levels", 8, "-o", folder / "digits.cim"),
        *("--data", folder / "calibration.npz"),
    )
    assert done.code == 0, done.err
    done = call(
        *("verify", folder / "digits.cim", "--reference", model, "--data", folder / "digits.npz"),
        *("--chips", chips, "--json"),
    )
    assert done.code == 0, done.err
    report: dict[str, float] = done.json
    return report


def test_digits_are_within_a_point_of_float(call: Call, tmp_path: Path) -> None:
    report = verified(call, tmp_path, samples=500, chips=4)
    assert report["reference"] > 0.98
    assert report["mean"] > report["reference"] - 0.01
    assert report["ci_low"] < report["mean"]
    assert len(report["per_layer_snr_db"]) == 3  # type: ignore[arg-type]


@pytest.mark.slow
def test_all_digits_on_fifty_chips(call: Call, tmp_path: Path) -> None:
    report = verified(call, tmp_path, samples=5000, chips=50)
    assert report["ci_low"] > report["reference"] - 0.01
