"""Hostile tensors, all checksums right."""

from __future__ import annotations

import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import files, read, write
from tests.program.factories import mlp
from tests.program.forge import Forge
from tests.program.hostile import forged, refused, tensor_change

TILES = "layer/fc1/tiles"


@pytest.mark.parametrize(
    ("name", "index", "value", "code"),
    [
        # group, row_tile, row, rows, column, columns, array, array_row, array_column
        (TILES, (0, 0), 1, "CIMC-P20"),
        (TILES, (0, 0), -1, "CIMC-P20"),
        (TILES, (0, 0), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 1), 3, "CIMC-P20"),
        (TILES, (0, 1), -1, "CIMC-P20"),
        (TILES, (0, 1), 1, "CIMC-P20"),
        (TILES, (0, 2), 1, "CIMC-P20"),
        (TILES, (0, 3), 31, "CIMC-P20"),
        (TILES, (0, 3), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 4), 1, "CIMC-P20"),
        (TILES, (0, 4), -(2**31), "CIMC-P20"),
        (TILES, (0, 5), 13, "CIMC-P20"),
        (TILES, (0, 5), 0, "CIMC-P20"),
        (TILES, (0, 5), -5, "CIMC-P20"),
        (TILES, (0, 5), 2**31 - 1, "CIMC-P20"),
        (TILES, (0, 6), 24, "CIMC-P21"),
        (TILES, (0, 6), -1, "CIMC-P21"),
        (TILES, (0, 6), 2, "CIMC-P21"),  # on another tile
        (TILES, (0, 7), 1, "CIMC-P21"),
        (TILES, (0, 7), -1, "CIMC-P21"),
        (TILES, (0, 7), 2**31 - 1, "CIMC-P21"),
        (TILES, (0, 8), 1, "CIMC-P21"),
        (TILES, (0, 8), -1, "CIMC-P21"),
        (TILES, (0, 8), 2**31 - 1, "CIMC-P21"),
        ("layer/fc1/row_tiles", (0, 0), 1, "CIMC-P20"),
        ("layer/fc1/row_tiles", (0, 1), 31, "CIMC-P20"),
        ("layer/fc1/row_tiles", (1, 1), 2**31 - 1, "CIMC-P20"),
        ("layer/fc1/row_tiles", (1, 1), 0, "CIMC-P20"),
        ("layer/fc1/states_us", 3, float("nan"), "CIMC-P19"),
        ("layer/fc1/states_us", 3, float("inf"), "CIMC-P19"),
        ("layer/fc1/states_us", 3, 100.0, "CIMC-P19"),
        ("layer/fc1/states_us", 3, -1.0, "CIMC-P19"),
        ("layer/fc1/gain", 0, float("nan"), "CIMC-P22"),
        ("layer/fc1/gain", 0, float("-inf"), "CIMC-P22"),
        ("layer/fc1/adc0_us", 0, 0.0, "CIMC-P22"),
        ("layer/fc1/adc0_us", 1, float("nan"), "CIMC-P22"),
        ("layer/fc1/adc0_us", 2, float("inf"), "CIMC-P22"),
        ("layer/fc1/adc0_us", (0, 0, 0), -1.0, "CIMC-P22"),
        ("faults/cells", (0, 0), 24, "CIMC-P24"),
        ("faults/cells", (0, 0), -1, "CIMC-P24"),
        ("faults/cells", (0, 1), 32, "CIMC-P24"),
        ("faults/cells", (0, 2), 24, "CIMC-P24"),
        ("faults/cells", (0, 3), 4, "CIMC-P24"),
        ("faults/conductance_us", 0, float("nan"), "CIMC-P24"),
        ("faults/conductance_us", 0, -1.0, "CIMC-P24"),
    ],
)
def test_tables_signed_again(small, tmp_path, name, index, value, code):
    assert forged(small, tmp_path, tensor_change(name, index, value)).code == code


def test_states_beyond_the_table(small, tmp_path):
    def change(forge: Forge) -> None:
        forge.layer("fc1")["cells"]["states"] = 15
        forge.tensors["layer/fc1/states_us"] = torch.linspace(2.1, 17.85, 15)
        forge.tensors["layer/fc1/plane0"][0, 0, 0] |= 0x0F

    assert forged(small, tmp_path, change).code == "CIMC-P19"


def test_padding_bits(small, tmp_path):
    def change(forge: Forge) -> None:  # conv has 5 columns of 4 bits
        forge.tensors["layer/conv/plane1"][0, 0, -1] |= 0x10

    error = forged(small, tmp_path, change)
    assert (error.code, "padding" in error.message) == ("CIMC-P19", True)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("layer/fc1/tiles", torch.zeros(6, 9), "CIMC-P10"),
        ("layer/fc1/tiles", torch.zeros(6, 8, dtype=torch.int32), "CIMC-P10"),
        ("layer/fc1/tiles", torch.zeros(0, 9, dtype=torch.int32), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(1, 80, 20), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(1, 80, 9, dtype=torch.uint8), "CIMC-P10"),
        ("layer/fc1/plane0", torch.zeros(800, dtype=torch.uint8), "CIMC-P10"),
        ("layer/fc1/gain", torch.ones(2), "CIMC-P22"),
        ("layer/fc1/gain", torch.ones(0), "CIMC-P22"),
        ("layer/fc1/gain", torch.ones(1, dtype=torch.float64), "CIMC-P10"),
        ("layer/fc1/gain", torch.ones(()), "CIMC-P10"),
        ("layer/fc1/states_us", torch.ones(17), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(1), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 1, dtype=torch.float64), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(4, 1, 1), "CIMC-P10"),
        ("layer/fc1/adc0_us", torch.ones(3, 2, 1), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 2), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 1, 0), "CIMC-P22"),
        ("layer/fc1/adc0_us", torch.ones(3, 0, 1), "CIMC-P22"),
        ("layer/fc1/surprise", torch.ones(1), "CIMC-P10"),
        ("layer/fc9/gain", torch.ones(1), "CIMC-P10"),
        ("surprise", torch.ones(1), "CIMC-P10"),
        ("constant/surprise", torch.ones(1), "CIMC-P14"),
        ("faults/cells", torch.zeros(2, 5, dtype=torch.int32), "CIMC-P10"),
    ],
)
def test_tensors_of_the_wrong_kind(small, tmp_path, name, value, code):
    def change(forge: Forge) -> None:
        forge.tensors[name] = value

    assert forged(small, tmp_path, change).code == code


@pytest.mark.parametrize("name", ["constant/bias", "layer/fc1/plane1", "layer/fc1/tiles"])
def test_missing_tensors(small, tmp_path, name):
    def change(forge: Forge) -> None:
        del forge.tensors[name]

    assert forged(small, tmp_path, change).code in ("CIMC-P10", "CIMC-P14")


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        (files.GOLDEN, "input/z", torch.ones(1)),
        (files.GOLDEN, "input/x", torch.ones(1, 2, 6, 6, dtype=torch.float64)),
        (files.GOLDEN, "input/x", torch.ones(3)),
        (files.GOLDEN, "output/z", torch.ones(1)),
        (files.GOLDEN, "layer/relu", torch.ones(1)),
        (files.CALIBRATION, "input/x", torch.ones(3)),
        (files.CALIBRATION, "weight/z", torch.ones(3)),
        (files.CALIBRATION, "weight/fc1", torch.ones(3)),
        (files.CALIBRATION, "weight/fc1", torch.full((1, 80, 20), torch.nan)),
        (files.CALIBRATION, "mean/relu", torch.ones(3)),
        (files.CALIBRATION, "mean/fc2", torch.full((10,), torch.inf)),
    ],
)
def test_vectors_of_the_wrong_kind(small, tmp_path, file, name, value):
    def change(forge: Forge) -> None:
        forge.blobs[file][name] = value

    assert forged(small, tmp_path, change).code == "CIMC-P23"


@pytest.mark.parametrize("file", [files.GOLDEN, files.CALIBRATION])
def test_vectors_that_belong_to_nothing(small, tmp_path, file):
    def change(forge: Forge) -> None:
        forge.blobs[file]["surprise/x"] = torch.ones(1)

    assert forged(small, tmp_path, change).code == "CIMC-P10"


def test_many_overlapping_tiles_take_little_time(small, tmp_path):
    """A table of 200,000 tiles, all in one place."""
    count = 200_000

    def change(forge: Forge) -> None:
        forge.layer("fc1")["tiles"] = count
        forge.tensors[TILES] = forge.tensors[TILES][:1].repeat(count, 1)

    assert forged(small, tmp_path, change).code == "CIMC-P20"


def test_unlimited_arrays_cannot_be_made_huge(tmp_path):
    write(mlp("signed", extras=False), tmp_path / "p.cim")
    for column in (7, 8):
        forge = Forge(tmp_path / "p.cim")
        forge.tensors["layer/fc1/tiles"][0, column] = 2**30
        error = refused(forge.save(tmp_path / f"{column}.cim"))
        assert error.code == "CIMC-P21"


def test_float_planes_with_nan(tmp_path):
    for encoding in ("signed", "differential-pair", "offset-column"):
        write(mlp(encoding, states=None, extras=False), tmp_path / f"{encoding}.cim")
        forge = Forge(tmp_path / f"{encoding}.cim")
        forge.tensors["layer/fc1/plane0"][0, 7, 3] = torch.nan
        assert refused(forge.save(tmp_path / f"{encoding}-f.cim")).code == "CIMC-P19"


def test_without_verification_the_content_is_still_checked(small, tmp_path):
    forge = Forge(small)
    forge.tensors[TILES][0, 6] = 99
    path = forge.save(tmp_path / "p.cim")
    with pytest.raises(ProgramError) as caught:
        read(path, verify=False)
    assert caught.value.code == "CIMC-P21"
    write(mlp("signed", extras=False), tmp_path / "s.cim")
    forge = Forge(tmp_path / "s.cim")
    forge.tensors["layer/fc1/plane0"][0, 7, 3] = torch.inf
    with pytest.raises(ProgramError) as caught:
        read(forge.save(tmp_path / "t.cim"), verify=False)
    assert caught.value.code == "CIMC-P19"
