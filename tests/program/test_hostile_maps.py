"""Hostile maps of lines, array numbers and gains, all checksums right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import files, read, write
from tests.program.factories import mlp, with_gains, with_maps
from tests.program.forge import Forge
from tests.program.hostile import forged, manifest_change, refused, tensor_change

WORDS, BITS = "layer/fc1/word_lines", "layer/fc1/bit_lines"
FAULTS = "faults/cells"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that is broken: 24 arrays of 32 x 24, pairs, maps, gains of arrays 0 and 3."""
    path = tmp_path_factory.mktemp("maps") / "p.cim"
    program = with_gains(with_maps(mlp()), [0, 3])
    data = program.calibration
    assert data is not None
    constants = {"bias": torch.ones(5)}
    write(replace(program, calibration=replace(data, constants=constants)), path)
    return path


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        (WORDS, -1, "tile 0"),
        (WORDS, 32, "tile 0"),
        (WORDS, 2**31 - 1, "tile 0"),
        (WORDS, -(2**31), "tile 0"),
        (BITS, -1, "tile 0"),
        (BITS, 23, "tile 0"),  # G- would lie outside
        (BITS, 24, "tile 0"),
        (BITS, 2**31 - 1, "tile 0"),
    ],
)
def test_lines_outside_of_the_array(mapped, tmp_path, name, value, where):
    error = forged(mapped, tmp_path, tensor_change(name, 3, value))
    assert error.code == "CIMC-P21"
    assert f"line {value}" in error.message
    assert "layer 'fc1'" in error.where
    assert where in error.where


@pytest.mark.parametrize(("name", "step"), [(WORDS, 0), (BITS, 0), (BITS, 1), (BITS, -1)])
def test_a_line_used_twice_by_a_tile(mapped, tmp_path, name, step):
    """Bit lines of two pairs may not even be next to each other."""

    def change(forge: Forge) -> None:
        lines = forge.tensors[name]
        inside = [k for k in (0, 1, 2) if 0 <= int(lines[k]) + step < 23]
        lines[3] = lines[inside[0]] + step

    error = forged(mapped, tmp_path, change)
    assert (error.code, "holds two" in error.message) == ("CIMC-P21", True)
    assert "tile 0" in error.where


def test_the_same_line_in_two_tiles_is_none_of_that(mapped, tmp_path):
    """They are on different arrays."""
    forge = Forge(mapped)
    rows = 32
    forge.tensors[WORDS][rows : 2 * rows] = forge.tensors[WORDS][:rows].flip(0)
    read(forge.save(tmp_path / "q.cim"))


def test_a_cell_in_two_tiles(mapped, tmp_path):
    """Tiles of two layers on one array, one cell of which both have."""
    forge = Forge(mapped)
    fc2, conv = forge.tensors["layer/fc2/tiles"], forge.tensors["layer/conv/tiles"]
    conv_array, fc2_array = int(conv[0, 6]), int(fc2[0, 6])
    fc2[0, 6] = conv_array
    forge.tensors["layer/conv/word_lines"] = torch.arange(18, dtype=torch.int32)
    forge.tensors["layer/conv/bit_lines"] = 2 * torch.arange(5, dtype=torch.int32)
    words = torch.arange(12, 32, dtype=torch.int32)
    forge.tensors["layer/fc2/word_lines"] = words
    columns = int(fc2[0, 5])
    lines = forge.tensors["layer/fc2/bit_lines"]
    forge.manifest["arrays"]["used"] -= int(fc2_array not in fc2[1:, 6].tolist())
    assert len(words) == int(fc2[0, 3])
    assert columns <= 12
    lines[:columns] = torch.arange(22, 22 - 2 * columns, -2, dtype=torch.int32)
    free = [line for line in lines[:columns].tolist() if line > 9]
    error = forged_at(forge, tmp_path / "q.cim")
    assert error.code == "CIMC-P21"
    assert "overlap at word line 12" in error.message
    assert f"array {conv_array}" in error.where
    assert len(free) < columns


def forged_at(forge: Forge, path: Path) -> ProgramError:
    return refused(forge.save(path))


@pytest.mark.parametrize("name", [WORDS, BITS])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: lines[:-1], "CIMC-P21"),
        (lambda lines: torch.cat([lines, lines[:1]]), "CIMC-P21"),
        (lambda lines: lines[:0], "CIMC-P21"),
        (lambda lines: lines.repeat(1000), "CIMC-P21"),
        (lambda lines: lines.to(torch.int64), "CIMC-P10"),
        (lambda lines: lines.to(torch.float32), "CIMC-P10"),
        (lambda lines: lines[None], "CIMC-P10"),
    ],
)
def test_maps_of_the_wrong_kind(mapped, tmp_path, name, change, code):
    def changed(forge: Forge) -> None:
        forge.tensors[name] = change(forge.tensors[name]).contiguous()

    assert forged(mapped, tmp_path, changed).code == code


def test_maps_of_arrays_without_end(tmp_path):
    write(mlp("signed", extras=False), tmp_path / "p.cim")
    for name, count in (("word_lines", 80), ("bit_lines", 20)):
        forge = Forge(tmp_path / "p.cim")
        forge.tensors[f"layer/fc1/{name}"] = torch.arange(count, dtype=torch.int32)
        error = refused(forge.save(tmp_path / f"{name}.cim"))
        assert (error.code, "no end" in error.message) == ("CIMC-P21", True)


def test_a_map_of_another_tile_table_is_found_after_the_table(mapped, tmp_path):
    """The length of a map follows from the table, which is checked first."""
    change = tensor_change("layer/fc1/tiles", (0, 3), 2**31 - 1)
    assert forged(mapped, tmp_path, change).code == "CIMC-P20"


def test_arrays_the_chip_does_not_have(mapped, tmp_path):
    forge = Forge(mapped)
    last = 23
    forge.tensors["layer/fc1/tiles"][0, 6] = last
    read(forge.save(tmp_path / "last.cim"))
    for k, array in enumerate((24, 2**31 - 1, -1)):
        forge.tensors["layer/fc1/tiles"][0, 6] = array
        assert refused(forge.save(tmp_path / f"{k}.cim")).code == "CIMC-P21"


def test_arrays_of_an_unlimited_chip_have_no_gaps(tmp_path):
    write(mlp("signed", extras=False), tmp_path / "p.cim")
    for k, array in enumerate((9, 2**31 - 1)):
        forge = Forge(tmp_path / "p.cim")
        forge.tensors["layer/fc2/tiles"][0, 6] = array
        error = refused(forge.save(tmp_path / f"{k}.cim"))
        assert (error.code, "gaps" in error.message) == ("CIMC-P21", True)


Changed = Callable[[Forge], None]


def put(name: str, value: torch.Tensor | None) -> Changed:
    def change(forge: Forge) -> None:
        forge.tensors.pop(name, None)
        if value is not None:
            forge.tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (tensor_change("faults/gain_lrs", (1, 31, 23), float("nan")), "CIMC-P24"),
        (tensor_change("faults/gain_lrs", (0, 0, 0), float("inf")), "CIMC-P24"),
        (tensor_change("faults/gain_hrs", (0, 5, 5), -0.01), "CIMC-P24"),
        (tensor_change("faults/gain_arrays", 0, -1), "CIMC-P24"),
        (tensor_change("faults/gain_arrays", 1, 24), "CIMC-P24"),
        (tensor_change("faults/gain_arrays", 0, 3), "CIMC-P24"),
        (tensor_change("faults/gain_arrays", 0, 4), "CIMC-P24"),
        (put("faults/gain_arrays", None), "CIMC-P10"),
        (put("faults/gain_arrays", torch.zeros(3, dtype=torch.int32)), "CIMC-P10"),
        (put("faults/gain_lrs", torch.ones(2, 32, 23)), "CIMC-P24"),
        (put("faults/gain_lrs", torch.ones(2, 24, 32)), "CIMC-P24"),
        (put("faults/gain_lrs", torch.ones(3, 32, 24)), "CIMC-P10"),
        (put("faults/gain_lrs", torch.ones(2, 32, 24, dtype=torch.float64)), "CIMC-P10"),
        (put("faults/gain_lrs", torch.ones(2, 768)), "CIMC-P10"),
        (manifest_change("faults.gain_arrays", None), "CIMC-P10"),
        (manifest_change("faults.gain_arrays", 1), "CIMC-P10"),
        (manifest_change("faults.gain_arrays", -1), "CIMC-P07"),
        (manifest_change("faults.gain_arrays", 10**13), "CIMC-P10"),
        (manifest_change("faults", None), "CIMC-P10"),
    ],
)
def test_gains(mapped, tmp_path, change, code):
    assert forged(mapped, tmp_path, change).code == code


def test_gains_of_no_end_state(mapped, tmp_path):
    def change(forge: Forge) -> None:
        del forge.tensors["faults/gain_lrs"], forge.tensors["faults/gain_hrs"]

    assert forged(mapped, tmp_path, change).code == "CIMC-P24"


def test_gains_of_arrays_without_end(tmp_path):
    def change(forge: Forge) -> None:
        forge.manifest["faults"] = {"chip": "a", "cells": 0, "gain_arrays": 1}
        forge.tensors["faults/cells"] = torch.zeros(0, 4, dtype=torch.int32)
        forge.tensors["faults/conductance_us"] = torch.zeros(0)
        forge.tensors["faults/gain_arrays"] = torch.zeros(1, dtype=torch.int32)
        forge.tensors["faults/gain_lrs"] = torch.ones(1, 80, 20)

    write(mlp("signed", extras=False), tmp_path / "p.cim")
    assert forged(tmp_path / "p.cim", tmp_path, change).code == "CIMC-P24"


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 3, 4, 3], [0, 1, 2, 1]],
        [[0, 1, 2, 1], [0, 1, 2, 1]],
        [[0, 1, 2, 1], [0, 1, 2, 2]],
        [[0, 1, 2, 1], [0, 1, 1, 1]],
        [[0, 1, 2, 1], [0, 0, 3, 1]],
    ],
)
def test_faults_out_of_order_or_twice(mapped, tmp_path, cells):
    change = put(FAULTS, torch.tensor(cells, dtype=torch.int32))
    error = forged(mapped, tmp_path, change)
    assert (error.code, "order" in error.message) == ("CIMC-P24", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("constant/z", torch.ones(5)),
        ("constant/bias", torch.ones(6)),
        ("constant/bias", torch.ones(5, dtype=torch.float64)),
        ("constant/bias", torch.full((5,), torch.nan)),
    ],
)
def test_constants_of_the_float_network(mapped, tmp_path, name: str, value: Any):
    def change(forge: Forge) -> None:
        forge.blobs[files.CALIBRATION][name] = value

    assert forged(mapped, tmp_path, change).code == "CIMC-P23"
