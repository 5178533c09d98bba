"""Pretraining learns, writes three files that agree, and does not train what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tests.training_networks import networks, pretrain
from tests.training_networks.data import network_data

NAME = "vgglike"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and 21 steps instead of three epochs."""
    for module in (networks, pretrain):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setitem(pretrain.SETTINGS, "fashion", pretrain.Settings(epochs=0.05))
    return tmp_path


@pytest.mark.slow
def test_what_is_written_agrees_and_is_not_trained_again(folder: Path) -> None:
    pretrain.pretrain(NAME, 1)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".onnx", ".safetensors", ".txt"}
    # 21 steps are enough to be far better than one in ten.
    assert networks.record(NAME, 1)["metrics"]["top1"] > 0.3
    images = network_data(NAME, "test", 8)["input"]
    with torch.no_grad():
        expected = networks.trained(NAME, 1)(torch.from_numpy(images)).numpy()
    session = onnxruntime.InferenceSession(networks.onnx_path(NAME, 1))
    (found,) = session.run(["output"], {"input": images})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    before = networks.onnx_path(NAME, 1).stat().st_mtime_ns
    assert pretrain.pretrain(NAME, 1) == f"{NAME} seed 1: there"
    assert networks.onnx_path(NAME, 1).stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_network_without_its_note_is_trained_again_to_the_same_bytes(folder: Path) -> None:
    pretrain.pretrain(NAME, 1)
    weights = folder / f"{NAME}-seed1.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(b"broken off")
    (folder / f"{NAME}-seed1.json").unlink()
    pretrain.pretrain(NAME, 1)
    assert weights.read_bytes() == before
