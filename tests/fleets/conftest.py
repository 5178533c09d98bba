"""A small program, fault maps for it, and a fleet of its chips."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cimc
from cimc.faults import FaultMap, save_fault_map
from cimc.fleets.report import FleetReport
from tests.fleets import stand_in
from tests.verification.onnx_models import linear_chain


@dataclass(frozen=True)
class Files:
    """A model, its program, and samples; all of them files."""

    model: Path
    program: Path
    data: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Two matrices on ``rram`` with calibration data; 40 labelled samples."""
    from cimc.pipeline import compile_model
    from cimc.verification.reference import OnnxModel

    folder = tmp_path_factory.mktemp("fleet")
    model = linear_chain(folder / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    labels = OnnxModel(model).run({"x": x})["y"].argmax(1)
    np.savez(folder / "data.npz", x=x, labels=labels)
    compile_model(str(model), target="rram", data={"x": x}, output=folder / "chain.cim", levels=16)
    return Files(model, folder / "chain.cim", folder / "data.npz")


def fault_map(chip: str, count: int, seed: int = 0) -> FaultMap:
    """Return a chip with some of the cells of array 0 that the chain uses stuck at G_max."""
    draw = np.random.default_rng([seed, count])
    spots = np.sort(draw.permutation(4 * 16)[:count])
    cells = np.zeros((count, 4), np.int32)
    cells[:, 1], cells[:, 2], cells[:, 3] = spots // 16, spots % 16, 2
    return FaultMap(chip, "rram", np.zeros(1, np.int32), cells, np.zeros(count, np.float32))


def write_maps(folder: Path, chips: Sequence[str]) -> Path:
    """Write maps with 0, 2, 4, ... faults, in the order of the names given."""
    folder.mkdir(exist_ok=True)
    for i, chip in enumerate(chips):
        name = f"{i:03}-{''.join(c if c.isalnum() else '_' for c in chip)}.safetensors"
        save_fault_map(fault_map(chip, 2 * i % 64), folder / name)
    return folder


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Read the results as anybody would."""
    base = sqlite3.connect(out / "fleet.sqlite")
    base.row_factory = sqlite3.Row
    found = {row["chip"]: dict(row) for row in base.execute("SELECT * FROM chips")}
    base.close()
    return found


Fleet = Callable[..., FleetReport]


@pytest.fixture
def fleet(files: Files, tmp_path: Path) -> Fleet:
    """Run a fleet of the given chips in this process, with the quick engine."""

    def run(chips: Sequence[str] = (), **options: Any) -> FleetReport:
        if chips:
            write_maps(tmp_path / "maps", chips)
        given = {
            "fault_maps": tmp_path / "maps",
            "output": tmp_path / "out",
            "workers": 0,
            "engine": stand_in.engine,
            **options,
        }
        return cimc.fleet(given.pop("program", files.program), **given)

    return run
