"""What a program was before it was made for a chip: kept with it, and as right as it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import files, read, write
from cimc.program.check import check
from cimc.program.model import DeviceProgram
from cimc.program.originals import before_the_chip
from cimc.remap.originals import originals_of, restored
from tests.program.factories import KINDS, mlp, renumbered, with_maps
from tests.program.forge import Forge
from tests.program.hostile import forged

MAPPED = tuple(kind for kind in KINDS if kind != "signed")


def made_for_a_chip(kind: str, states: int | None = 16) -> tuple[DeviceProgram, DeviceProgram]:
    """A program, and what another chip's could look like: other cells, places, constants."""
    before = mlp(kind, states=states)
    data = before.calibration
    assert data is not None
    kept = originals_of(before, {"bias": torch.zeros(5)})
    after = with_maps(before)
    if kind != "twin-arrays":
        after = renumbered(after, [23 - k for k in range(24)])
    layers = {
        name: replace(layer, cells=replace(layer.cells, planes=turned(layer.cells.planes)))
        for name, layer in after.layers.items()
    }
    after = replace(
        after,
        layers=layers,
        constants={**after.constants, "bias": torch.full((5,), 0.5)},
        calibration=replace(data, originals=kept),
    )
    return before, after


def turned(planes: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(plane.flip(1) for plane in planes)


@pytest.mark.parametrize("states", [16, 5, None])
@pytest.mark.parametrize("kind", MAPPED)
def test_what_was_there_before_comes_back(kind: str, states: int | None, tmp_path: Path) -> None:
    before, after = made_for_a_chip(kind, states)
    digest = write(after, tmp_path / "p.cim")
    again = read(tmp_path / "p.cim")
    assert write(again, tmp_path / "q.cim") == digest
    for found in (before_the_chip(again), restored(again)):
        assert found is not None
        assert (found.faults, found.arrays) == (None, before.arrays)
        assert torch.equal(found.constants["bias"], before.constants["bias"])
        for name, layer in before.layers.items():
            same = found.layers[name]
            assert (same.word_lines, same.bit_lines) == (None, None)
            np.testing.assert_array_equal(same.tiles, layer.tiles)
            for one, other in zip(same.cells.planes, layer.cells.planes, strict=True):
                assert torch.equal(one, other)
            for field in ("states_us", "gain", "multipliers", "correction_us"):
                one, other = (getattr(cells, field) for cells in (same.cells, layer.cells))
                assert (one is None) == (other is None)
                assert one is None or torch.equal(one, other)


def test_states_are_packed(tmp_path: Path) -> None:
    write(made_for_a_chip("differential-pair")[1], tmp_path / "p.cim")
    blob = Forge(tmp_path / "p.cim").blobs[files.CALIBRATION]
    assert tuple(blob["original/plane1/fc1"].shape) == (1, 80, 10)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("originals") / "p.cim"
    write(made_for_a_chip("differential-pair")[1], path)
    return path


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("plane0/fc1", None, "CIMC-P23"),
        ("tiles/fc1", None, "CIMC-P23"),
        ("gain/fc1", None, "CIMC-P23"),
        ("states/fc1", None, "CIMC-P23"),
        ("surprise/fc1", torch.ones(1), "CIMC-P23"),
        ("plane2/fc1", torch.ones(1), "CIMC-P10"),
        ("plane0/fc9", torch.ones(1), "CIMC-P23"),
        ("plane9/fc1", torch.ones(1), "CIMC-P23"),
        ("gain/fc9", torch.ones(1), "CIMC-P23"),
        ("constant/z", torch.ones(1), "CIMC-P23"),
        ("constant/bias", torch.ones(6), "CIMC-P23"),
        ("constant/bias", torch.full((5,), torch.nan), "CIMC-P23"),
        ("plane0/fc1", torch.ones(1, 80, 10), "CIMC-P10"),
        ("plane0/fc1", torch.ones(1, 80, 11, dtype=torch.uint8), "CIMC-P10"),
        ("plane0/fc1", torch.ones(1, 79, 10, dtype=torch.uint8), "CIMC-P10"),
        ("states/fc1", torch.ones(0), "CIMC-P19"),
        ("states/fc1", torch.ones(()), "CIMC-P23"),
        ("states/fc1", torch.full((16,), 100.0), "CIMC-P19"),
        ("states/fc1", torch.linspace(2.1, 17.0, 9), "CIMC-P19"),
        ("states/fc1", torch.ones(3, 16), "CIMC-P19"),
        ("states/fc1", torch.linspace(2.1, 17.0, 16, dtype=torch.float64), "CIMC-P23"),
        ("gain/fc1", torch.ones(3), "CIMC-P22"),
        ("gain/fc1", torch.full((1,), torch.inf), "CIMC-P22"),
        ("multipliers/fc1", torch.ones(2), "CIMC-P22"),
        ("tiles/fc1", torch.zeros(6, 9, dtype=torch.int32), "CIMC-P20"),
        ("tiles/fc1", torch.zeros(6, 8, dtype=torch.int32), "CIMC-P23"),
        ("tiles/fc1", torch.zeros(54, dtype=torch.int32), "CIMC-P23"),
        ("tiles/fc1", torch.zeros(6, 9), "CIMC-P23"),
    ],
)
def test_broken_originals(kept, tmp_path, name, value, code):
    def change(forge: Forge) -> None:
        blob = forge.blobs[files.CALIBRATION]
        blob.pop(f"original/{name}", None)
        if value is not None:
            blob[f"original/{name}"] = value

    assert forged(kept, tmp_path, change).code == code


def test_tiles_that_lie_on_others(kept, tmp_path):
    def change(forge: Forge) -> None:
        tiles = forge.blobs[files.CALIBRATION]["original/tiles/fc1"]
        tiles[0, 6] = tiles[1, 6]

    error = forged(kept, tmp_path, change)
    assert error.code == "CIMC-P21"
    assert "originals: " in error.where


def test_a_program_in_memory_is_checked_too():
    _, after = made_for_a_chip("differential-pair")
    check(after)
    assert after.calibration is not None
    originals = {**after.calibration.originals, "gain/fc1": torch.full((1,), torch.nan)}
    broken = replace(after, calibration=replace(after.calibration, originals=originals))
    with pytest.raises(ProgramError, match="gain is not finite"):
        check(broken)
