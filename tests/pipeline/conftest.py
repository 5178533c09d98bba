"""A small network compiled for a noisy target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cimc.program.model import DeviceProgram
from tests.verification.onnx_models import linear_chain


@dataclass(frozen=True)
class Chain:
    """A model, its program, and 60 labelled samples."""

    model: Path
    program: DeviceProgram
    data: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Two matrices on ``rram`` with large programming noise and calibration data."""
    from cimc.pipeline import compile_model
    from cimc.targets import load_target
    from cimc.verification.reference import OnnxModel

    model = linear_chain(tmp_path_factory.mktemp("chain") / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    labels = OnnxModel(model).run({"x": x})["y"].argmax(1)
    target = load_target("rram").changed({"noise.programming": {"sigma": "2 uS"}})
    program = compile_model(str(model), target=target, data={"x": x}, levels=16).program
    return Chain(model, program, {"x": x, "labels": labels})
