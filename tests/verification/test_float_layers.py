from pathlib import Path

import numpy as np

from cimc.ir.network import Signal
from cimc.verification.data import Data, check_data
from cimc.verification.float_layers import FloatLayers
from cimc.verification.reference import OnnxModel
from tests.verification.onnx_models import linear_chain


def data() -> Data:
    x = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    return check_data({"x": x}, [Signal("x", "float32", ("n", 4))])


def test_candidates_follow_what_may_have_been_folded(tmp_path: Path) -> None:
    path = linear_chain(tmp_path / "m.onnx")
    found = FloatLayers(path, ["fc1", "z", "nothing"]).values(data(), batched=True, batch=4)
    inner = OnnxModel(path, extra_outputs=["h", "hb", "hr"]).run(data().inputs)
    # fc1, bn; the relu ends the chain.  'z' names a value.
    assert {k: len(v) for k, v in found.items()} == {"fc1": 2, "z": 2}
    np.testing.assert_allclose(found["fc1"][1], inner["hb"], rtol=1e-5)
    np.testing.assert_allclose(found["z"][1], inner["y"], rtol=1e-5)


def test_no_node_is_found(tmp_path: Path) -> None:
    path = linear_chain(tmp_path / "m.onnx")
    assert FloatLayers(path, ["nothing"]).values(data(), batched=True, batch=4) == {}
