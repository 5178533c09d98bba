from pathlib import Path

import numpy as np
import pytest

from cimc.ir.network import Signal
from cimc.verification.data import check_data
from cimc.verification.per_layer import float_values, layer_operations, layer_snr
from cimc.verification.reference import OnnxModel
from tests.verification.fakes import program
from tests.verification.onnx_models import linear_chain

SIGNAL = Signal("x", "float32", ("n", 4))


@pytest.fixture
def data():  # type: ignore[no-untyped-def]
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    return check_data({"x": x}, [SIGNAL])


def test_operations_that_read_a_layer() -> None:
    assert layer_operations(program()) == {"fc": "fc_node"}


def test_candidates_follow_what_may_have_been_folded(tmp_path: Path, data) -> None:  # type: ignore[no-untyped-def]
    path = linear_chain(tmp_path / "m.onnx")
    found = float_values(path, ["fc1", "z", "nothing"], data, batched=True, batch=4)
    inner = OnnxModel(path, extra_outputs=["h", "hb", "hr"]).run(data.inputs)
    # fc1, bn; the relu ends the chain.  'z' names a value.
    assert {k: len(v) for k, v in found.items()} == {"fc1": 2, "z": 2}
    np.testing.assert_allclose(found["fc1"][1], inner["hb"], rtol=1e-5)
    np.testing.assert_allclose(found["z"][1], inner["y"], rtol=1e-5)


def test_the_nearest_candidate_is_the_layers_float_output() -> None:
    draw = np.random.default_rng(0)
    wanted = draw.standard_normal((6, 8))
    ideal = {"op": wanted * 1.1}
    chip = {"op": wanted * 1.2}
    found, unmatched = layer_snr(
        {"op": "fc1", "lost": "fc9"}, {"fc1": [wanted * 3, wanted]}, ideal, ideal, chip
    )
    assert unmatched == ["lost"]
    assert found[0].ideal_db == pytest.approx(20.0)
    assert found[0].chip_db == pytest.approx(20 - 20 * np.log10(2))


def test_shapes_that_differ_only_by_reshape_are_matched() -> None:
    wanted = np.arange(12.0)
    found, unmatched = layer_snr(
        {"op": "n"},
        {"n": [wanted.reshape(2, 6), np.zeros(5)]},
        *[{"op": wanted.reshape(3, 4)}] * 3,
    )
    assert unmatched == []
    assert found[0].chip_db == np.inf
