"""Writing and reading a map; what a broken or hostile file does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cimc.errors import FaultMapError
from cimc.faults import FaultMap, load_fault_map, save_fault_map
from tests.faults.maps import full, made, same


@pytest.mark.parametrize(
    "fault_map",
    [
        full(),
        full(gain_hrs=None),
        made(),
        made(arrays=(0, 1, 2)),
        made([(0, 5, 6, 2)], temperature_k=85.0),
    ],
    ids=["everything", "one gain", "nothing", "no faults", "one fault"],
)
def test_what_was_written_is_read(fault_map: FaultMap, tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    digest = save_fault_map(fault_map, path)
    first = path.read_bytes()
    found = load_fault_map(path)
    assert same(found, fault_map)
    assert found.sha256 == digest
    save_fault_map(found, path)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["map.safetensors"]


def tensors(**changes: Any) -> dict[str, torch.Tensor]:
    """What a tester's own program would write with the safetensors library."""
    about = {"format": "cimc-fault-map", "version": 1, "chip": "W3-17", "target": "rram"}
    about |= changes.pop("about", {})
    content = {
        "cells": torch.tensor([[1, 2, 3, 2], [0, 7, 7, 1]], dtype=torch.int32),
        "arrays": torch.tensor([0, 1], dtype=torch.int32),
        "metadata": torch.tensor(list(json.dumps(about, indent=1).encode()), dtype=torch.uint8),
    }
    content |= changes
    return {name: tensor for name, tensor in content.items() if tensor is not None}


def test_a_file_of_the_safetensors_library(tmp_path: Path) -> None:
    """Cells in any order, metadata in any JSON; sorted when read."""
    save_file(tensors(), tmp_path / "t.safetensors")
    found = load_fault_map(tmp_path / "t.safetensors")
    assert same(found, made([(0, 7, 7, 1), (1, 2, 3, 2)]))


I32, F32 = torch.int32, torch.float32


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("CIMC-F02", {"cells": None}),
        ("CIMC-F02", {"extra": torch.zeros(1)}),
        ("CIMC-F02", {"cells": torch.zeros(2, 4)}),
        ("CIMC-F02", {"cells": torch.zeros(2, 3, dtype=I32)}),
        ("CIMC-F02", {"conductance_us": torch.zeros(3)}),
        ("CIMC-F02", {"arrays": torch.tensor([1, 0], dtype=I32)}),
        ("CIMC-F02", {"arrays": torch.tensor([0], dtype=I32)}),
        ("CIMC-F02", {"about": {"format": "other"}}),
        ("CIMC-F02", {"about": {"version": 2}}),
        ("CIMC-F02", {"about": {"wafer": 3}}),
        ("CIMC-F02", {"about": {"chip": 3}}),
        ("CIMC-F02", {"about": {"array_rows": 0}}),
        ("CIMC-F02", {"about": {"temperature_k": float("nan")}}),
        ("CIMC-F02", {"metadata": torch.zeros(4, dtype=torch.uint8)}),
        ("CIMC-F02", {"metadata": torch.zeros(1 << 17, dtype=torch.uint8)}),
        ("CIMC-F04", {"cells": torch.tensor([[0, 7, 7, 1], [0, 7, 7, 2]], dtype=I32)}),
        ("CIMC-F05", {"cells": torch.tensor([[0, 7, 7, 0]], dtype=I32)}),
        ("CIMC-F05", {"cells": torch.tensor([[0, 7, 7, 4]], dtype=I32)}),
        ("CIMC-F05", {"cells": torch.tensor([[0, 7, 7, 3]], dtype=I32),
                      "conductance_us": torch.tensor([float("nan")])}),
        ("CIMC-F05", {"cells": torch.tensor([[0, 7, 7, 3]], dtype=I32),
                      "conductance_us": torch.tensor([-1.0])}),
        ("CIMC-F05", {"cells": torch.tensor([[0, 7, 7, 1]], dtype=I32),
                      "conductance_us": torch.tensor([1.0])}),
        ("CIMC-F06", {"about": {"chip": ""}}),
        ("CIMC-F06", {"about": {"chip": "a\nb"}}),
        ("CIMC-F06", {"about": {"chip": " a"}}),
        ("CIMC-F06", {"about": {"chip": "x" * 129}}),
        ("CIMC-F08", {"cells": torch.tensor([[0, -7, 7, 1]], dtype=I32)}),
        ("CIMC-F10", {"gain_lrs": torch.ones(1, 3, 3)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([9], dtype=I32),
                      "gain_lrs": torch.ones(1, 3, 3)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32),
                      "gain_lrs": torch.ones(2, 3, 3)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32),
                      "gain_lrs": torch.full((1, 3, 3), -0.5)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32),
                      "gain_hrs": torch.full((1, 3, 3), float("inf"))}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32),
                      "gain_hrs": torch.ones(1, 3, 3), "gain_lrs": torch.ones(1, 3, 4)}),
        ("CIMC-F10", {"gain_arrays": torch.tensor([0], dtype=I32),
                      "gain_hrs": torch.ones(1, 3, 3), "about": {"array_rows": 4}}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(code: str, changes: dict[str, Any], tmp_path: Path) -> None:
    save_file(tensors(**changes), tmp_path / "t.safetensors")
    with pytest.raises(FaultMapError) as caught:
        load_fault_map(tmp_path / "t.safetensors")
    assert caught.value.code == code
    assert "t.safetensors" in caught.value.where


def test_a_wrong_cell_is_named(tmp_path: Path) -> None:
    cells = torch.tensor([[1, 2, 3, 9], [0, 7, 7, 1]], dtype=torch.int32)
    save_file(tensors(cells=cells), tmp_path / "t.safetensors")
    with pytest.raises(FaultMapError) as caught:
        load_fault_map(tmp_path / "t.safetensors")
    assert caught.value.where.endswith("array 1, row 2, column 3")
    assert "state 9" in caught.value.message


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is changed in a file: another valid map, or a fault-map error."""
    save_fault_map(full(), tmp_path / "whole.safetensors")
    content = bytearray((tmp_path / "whole.safetensors").read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "t.safetensors").write_bytes(content)
    code = ""
    try:
        save_fault_map(load_fault_map(tmp_path / "t.safetensors"), tmp_path / "n.safetensors")
    except FaultMapError as error:
        code = error.code
    assert code in {"", *(f"CIMC-F{number}" for number in ("02", "04", "05", "06", "08", "10"))}


@pytest.mark.parametrize(("name", "hint"), [("map", "ends in .csv"), ("f.safetensors", "copying")])
def test_what_is_no_safetensors_file_has_a_way_out(tmp_path: Path, name: str, hint: str) -> None:
    path = tmp_path / name
    path.write_text("# chip: a\narray,row,column,state\n")
    with pytest.raises(FaultMapError) as caught:
        load_fault_map(path)
    assert caught.value.code == "CIMC-F02"
    assert hint in caught.value.hint


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FaultMapError) as caught:
            load_fault_map(path)
        assert caught.value.code == "CIMC-F01"
    for path in (tmp_path / "none" / "m.safetensors", tmp_path / "m.npz"):
        with pytest.raises(FaultMapError) as caught:
            save_fault_map(made(), path)
        assert caught.value.code == "CIMC-F01"
    (tmp_path / "p.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(FaultMapError) as caught:
        load_fault_map(tmp_path / "p.safetensors")
    assert caught.value.code == "CIMC-F02"


def test_an_invalid_map_is_not_written_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_fault_map(made([(0, 1, 1, 1)]), path)
    before = path.read_bytes()
    unsorted = made([(0, 1, 1, 1), (0, 0, 1, 1)])
    with pytest.raises(FaultMapError, match="not sorted"):
        save_fault_map(unsorted, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_another_chip_than_asked_for(tmp_path: Path) -> None:
    save_fault_map(made(), tmp_path / "m.safetensors")
    assert load_fault_map(tmp_path / "m.safetensors", chip="W3-17").chip == "W3-17"
    with pytest.raises(FaultMapError, match="W3-17") as caught:
        load_fault_map(tmp_path / "m.safetensors", chip="W3-18")
    assert caught.value.code == "CIMC-F11"


def test_cells_do_not_hang_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_fault_map(made([(0, 1, 1, 1)]), path)
    found = load_fault_map(path)
    path.write_bytes(b"")
    assert found.cells.tolist() == [[0, 1, 1, 1]]


def test_public_names() -> None:
    import cimc

    assert cimc.load_fault_map is load_fault_map
    assert cimc.FaultMap is FaultMap
