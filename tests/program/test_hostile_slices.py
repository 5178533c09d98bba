"""Broken and hostile programs of bit-sliced cells and of twin arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import read, write
from tests.program.factories import mlp
from tests.program.forge import Forge

FC1 = "layer/fc1/"


def forged(tmp_path: Path, kind: str, states: int | None, change: Callable[[Forge], None]) -> str:
    """Return the code of the refusal of a changed program, signed again."""
    write(mlp(kind, states=states, extras=False), tmp_path / "p.cim")
    forge = Forge(tmp_path / "p.cim")
    change(forge)
    with pytest.raises(ProgramError) as caught:
        read(forge.save(tmp_path / "q.cim"))
    assert caught.value.code != "CIMC-P39"
    return caught.value.code


def put(name: str, value: torch.Tensor | None) -> Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.tensors.pop(FC1 + name, None)
        if value is not None:
            forge.tensors[FC1 + name] = value

    return change


@pytest.mark.parametrize(
    ("kind", "name", "value", "code"),
    [
        ("bit-sliced", "multipliers", None, "CIMC-P22"),
        ("bit-sliced", "multipliers", torch.ones(2), "CIMC-P10"),
        ("bit-sliced", "multipliers", torch.ones(4), "CIMC-P10"),
        ("bit-sliced", "multipliers", torch.ones(3, 19), "CIMC-P22"),
        ("bit-sliced", "multipliers", torch.ones(20, 3), "CIMC-P10"),
        ("bit-sliced", "multipliers", torch.ones(3, 20, 1), "CIMC-P10"),
        ("bit-sliced", "multipliers", torch.ones(3, dtype=torch.float64), "CIMC-P10"),
        ("bit-sliced", "multipliers", torch.tensor([1.0, torch.nan, 1.0]), "CIMC-P22"),
        ("bit-sliced", "multipliers", torch.tensor([1.0, -torch.inf, 1.0]), "CIMC-P22"),
        ("bit-sliced", "multipliers", torch.tensor([1.0, 1e38, 1.0]), "CIMC-P22"),
        ("bit-sliced", "correction_us", None, "CIMC-P10"),
        ("bit-sliced", "correction_us", torch.ones(19), "CIMC-P22"),
        ("bit-sliced", "correction_us", torch.ones(20, 1), "CIMC-P10"),
        ("bit-sliced", "correction_us", torch.tensor([torch.nan]), "CIMC-P22"),
        ("sliced-conductances", "multipliers", torch.ones(3), "CIMC-P22"),
        ("sliced-conductances", "correction_us", torch.tensor([torch.inf]), "CIMC-P22"),
        ("differential-pair", "multipliers", torch.ones(2), "CIMC-P10"),
        ("offset-column", "correction_us", torch.ones(1), "CIMC-P10"),
        ("own-states", "states_us", torch.full((20, 3), 5.0), "CIMC-P10"),
        ("own-states", "states_us", torch.full((19, 2), 5.0), "CIMC-P10"),
        ("own-states", "states_us", torch.full((20, 2), 25.0), "CIMC-P19"),
        ("own-states", "states_us", torch.full((20, 2), torch.nan), "CIMC-P19"),
        ("own-states", "states_us", torch.full((20, 2, 1), 5.0), "CIMC-P10"),
        ("own-states", "states_us", None, "CIMC-P10"),
        ("offset-column", "states_us", torch.full((20, 2), 5.0), "CIMC-P19"),
        ("bit-sliced", "plane2", None, "CIMC-P10"),
        ("bit-sliced", "plane3", torch.zeros(1, 80, 3, dtype=torch.uint8), "CIMC-P10"),
        ("bit-sliced", "adc0_us", torch.ones(3, 1, 1), "CIMC-P22"),
        ("bit-sliced", "adc0_us", torch.ones(3, 3, 2), "CIMC-P22"),
    ],
)
def test_tensors_of_slices(tmp_path, kind, name, value, code):
    assert forged(tmp_path, kind, 2, put(name, value)) == code


@pytest.mark.parametrize(
    ("count", "planes", "code"),
    [(2, 3, "CIMC-P18"), (4, 3, "CIMC-P18"), (3, 2, "CIMC-P10"), (9, 3, "CIMC-P12")],
)
def test_other_numbers_of_slices(tmp_path, count, planes, code):
    def change(forge: Forge) -> None:
        forge.manifest["target"]["slices"]["count"] = count
        forge.manifest["target"]["cell"]["default_levels"] = 2 ** min(count, 8)
        forge.layer("fc1")["cells"]["planes"] = planes

    assert forged(tmp_path, "bit-sliced", 2, change) == code


def test_slices_that_reach_beyond_the_array(tmp_path):
    def change(forge: Forge) -> None:
        forge.manifest["target"]["array"]["columns"] = 23
        forge.manifest["arrays"]["columns"] = 23

    assert forged(tmp_path, "bit-sliced", 2, change) == "CIMC-P21"


def test_a_layer_of_other_cells_than_the_target(tmp_path):
    def digital(forge: Forge) -> None:
        forge.manifest["target"]["slices"]["multipliers"] = "digital"

    assert forged(tmp_path, "sliced-conductances", 3, digital) == "CIMC-P22"

    def pair(forge: Forge) -> None:
        forge.layer("fc1")["encoding"] = "differential-pair"

    for path in tmp_path.iterdir():
        path.rename(path.with_name(f"old-{path.name}"))
    assert forged(tmp_path, "bit-sliced", 2, pair) == "CIMC-P10"


def tile(row: int, field: int, value: int) -> Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.tensors[f"{FC1}tiles"][row, field] = value

    return change


def test_a_tile_on_the_twin_of_another(tmp_path):
    """fc1 has arrays 2, 4, ...: 3 holds the G- of the tile on 2."""
    assert forged(tmp_path, "twin-arrays", 16, tile(1, 6, 3)) == "CIMC-P21"


def test_a_twin_beyond_the_chip(tmp_path):
    assert forged(tmp_path, "twin-arrays", 16, tile(0, 6, 23)) == "CIMC-P21"


def test_twins_that_are_said_to_be_adjacent(tmp_path):
    """14 weight columns fit the 14 bit lines of twin arrays; as adjacent pairs they need 28."""

    def change(forge: Forge) -> None:
        forge.manifest["target"]["pair"]["placement"] = "adjacent-columns"

    assert forged(tmp_path, "twin-arrays", 16, change) == "CIMC-P21"
