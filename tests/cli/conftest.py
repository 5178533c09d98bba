"""The command line called in this process, and one small program compiled for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cimc.cli import main
from tests.verification.onnx_models import linear_chain


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


Call = Callable[..., Done]


@pytest.fixture
def call() -> Call:
    """Run ``cimc`` with the given arguments."""

    def run(*args: object) -> Done:
        result = CliRunner().invoke(main, [str(a) for a in args])
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@dataclass(frozen=True)
class Files:
    """A model, its data and its program."""

    model: Path
    data: Path
    program: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Two matrices on ``rram`` with calibration data; 40 labelled samples."""
    from cimc.pipeline import compile_model
    from cimc.verification.reference import OnnxModel

    folder = tmp_path_factory.mktemp("cli")
    model = linear_chain(folder / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    labels = OnnxModel(model).run({"x": x})["y"].argmax(1)
    np.savez(folder / "data.npz", x=x, labels=labels)
    compile_model(str(model), target="rram", data={"x": x}, output=folder / "chain.cim", levels=64)
    return Files(model, folder / "data.npz", folder / "chain.cim")
