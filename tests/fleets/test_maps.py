"""Which chips a directory has maps of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import FaultMapError
from cimc.faults import load_fault_map, save_fault_map
from cimc.fleets.maps import chip_of, find_maps, program_name
from tests.fleets.conftest import fault_map, write_maps


@pytest.mark.parametrize("suffix", [".safetensors", ".csv"])
@pytest.mark.parametrize("chip", ["a", "wafer 7/die 12", "Ω-3", "x" * 128])
def test_the_chip_is_what_the_whole_map_says(tmp_path: Path, suffix: str, chip: str) -> None:
    path = tmp_path / f"map{suffix}"
    save_fault_map(fault_map(chip, 5), path)
    assert chip_of(path) == load_fault_map(path).chip == chip


def test_a_table_that_does_not_say_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "die-7.csv"
    path.write_text("# made by hand\narray,row,column,state\n0,1,2,1\n")
    assert chip_of(path) == "die-7"
    path.write_text("array,row,column,state\n0,1,2,1\n#chip:  named late \n")
    assert chip_of(path) == "named late"


@pytest.mark.parametrize("content", [b"", b"torn", b"\x10" + bytes(7) + b'{"a": 1}       ' * 2])
def test_what_is_not_a_map_stands_under_its_name(tmp_path: Path, content: bytes) -> None:
    write_maps(tmp_path, ["a"])
    (tmp_path / "zz.safetensors").write_bytes(content)
    found = find_maps(tmp_path)
    assert [(f.chip, f.readable) for f in found] == [("a", True), ("zz.safetensors", False)]
    assert found[1].size == len(content)


def test_a_blank_chip_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("# chip:\narray,row,column,state\n")
    with pytest.raises(FaultMapError) as caught:
        chip_of(tmp_path / "a.csv")
    assert caught.value.code == "CIMC-F06"


@given(st.lists(st.text(min_size=1, max_size=128), min_size=2, max_size=2, unique=True))
def test_names_of_programs(chips: list[str]) -> None:
    names = [program_name(chip) for chip in chips]
    assert names[0] != names[1]
    for name in names:
        assert name == Path(name).name
        assert name.isascii()
        assert not name.startswith(".")
        assert len(name) <= 200
        assert name.endswith(".cim")


def test_a_plain_name_stays() -> None:
    assert program_name("wafer-7_die.12") == "wafer-7_die.12.cim"
    assert program_name("..") == "%2E..cim"
