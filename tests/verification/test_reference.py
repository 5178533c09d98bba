from pathlib import Path

import numpy as np
import pytest

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.verification.data import check_data
from cimc.verification.reference import OnnxModel, reference_outputs
from tests.verification.onnx_models import linear_chain

SIGNAL = Signal("x", "float32", ("n", 4))


def data(n: int = 5):  # type: ignore[no-untyped-def]
    x = np.random.default_rng(1).standard_normal((n, 4)).astype(np.float32)
    return check_data({"x": x}, [SIGNAL])


def test_batches_give_what_one_run_gives(tmp_path: Path) -> None:
    path = linear_chain(tmp_path / "m.onnx")
    whole = reference_outputs(path, data(), batched=True, batch=64)
    parts = reference_outputs(path, data(), batched=True, batch=2)
    assert whole["y"].shape == (5, 3)
    np.testing.assert_allclose(parts["y"], whole["y"], rtol=1e-5)


def test_a_model_fixed_to_one_sample_runs_one_by_one(tmp_path: Path) -> None:
    fixed = linear_chain(tmp_path / "fixed.onnx", batch=1)
    free = linear_chain(tmp_path / "free.onnx")
    np.testing.assert_allclose(
        reference_outputs(fixed, data(), batched=True, batch=64)["y"],
        reference_outputs(free, data(), batched=True, batch=64)["y"],
        rtol=1e-5,
    )


@pytest.mark.parametrize("external", [False, True])
def test_inner_values_and_external_weights(tmp_path: Path, external: bool) -> None:
    path = linear_chain(tmp_path / "m.onnx", external=external)
    outputs = OnnxModel(path, extra_outputs=["h", "hb", "y"]).run(data().inputs)
    assert set(outputs) == {"y", "h", "hb"}
    assert outputs["h"].shape == (5, 8)


def test_a_function_may_stand_for_the_model() -> None:
    got = reference_outputs(lambda x: {"y": x["x"] * 2}, data(), batched=True, batch=2)
    assert got["y"].shape == (5, 4)


def test_broken_and_other_models(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot load") as caught:
        reference_outputs(broken, data(), batched=True, batch=2)
    assert caught.value.code == "CIMC-M88"
    other = check_data({"z": np.zeros((1, 4), np.float32)}, [Signal("z", "float32", ("n", 4))])
    with pytest.raises(ModelError, match="takes an input 'x'") as caught:
        reference_outputs(linear_chain(tmp_path / "m.onnx"), other, batched=True, batch=2)
    assert caught.value.code == "CIMC-M89"
