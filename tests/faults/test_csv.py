"""Fault maps as text: what a tester writes, and where it says a mistake is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cimc.errors import FaultMapError
from cimc.faults import FaultMap, load_fault_map, save_fault_map
from tests.faults.maps import full, made, same

EXAMPLE = """\
# chip: W3-17
# target: rram
# arrays: 0-63,70
# measured by hand; notes: none
array,row,column,state,conductance_uS
70,3,9,2,
0,12,200,1,
0,12,7,3,5.25

# the last one:
63, 255, 0, 3, 1e-1
"""


HEADER5 = "array,row,column,state,conductance_uS\n"


def read(tmp_path: Path, text: str | bytes, **options: str) -> FaultMap:
    path = tmp_path / "f.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_fault_map(path, **options)


def test_example(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    cells = [(0, 12, 7, 3), (0, 12, 200, 1), (63, 255, 0, 3), (70, 3, 9, 2)]
    assert same(found, made(cells, own_us=(5.25, 0.1), arrays=(*range(64), 70)))
    assert found.sha256 == hashlib.sha256(EXAMPLE.encode()).hexdigest()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_marks_of_other_systems(tmp_path: Path, end: str, mark: bytes) -> None:
    found = read(tmp_path, mark + EXAMPLE.replace("\n", end).rstrip().encode())
    assert same(found, read(tmp_path, EXAMPLE))


def test_four_columns_and_arrays_that_are_not_named(tmp_path: Path) -> None:
    found = read(tmp_path, "array,row,column,state\n5,0,1,1\n2,0,0,2\n", chip="x")
    assert same(found, made([(2, 0, 0, 2), (5, 0, 1, 1)], chip="x", target=""))


def test_comments_and_blanks_where_there_is_no_conductance(tmp_path: Path) -> None:
    found = read(
        tmp_path, "# chip: a\n" + HEADER5 + "1,2,3,1, \t\n \t\n1,2,4,2,# far\n  # x\n1,2,5,1,#"
    )
    assert same(found, made([(1, 2, 3, 1), (1, 2, 4, 2), (1, 2, 5, 1)], chip="a", target=""))


def test_no_faults(tmp_path: Path) -> None:
    for end in ("", "\n", "\n# nothing found\n"):
        found = read(tmp_path, f"# chip: a\n# arrays: 0-3\narray,row,column,state{end}")
        assert same(found, made(arrays=range(4), chip="a", target=""))


def test_one_cell(tmp_path: Path) -> None:
    text = "# chip: a\narray,row,column,state,conductance_uS\n1,2,3,2,"
    assert same(read(tmp_path, text), made([(1, 2, 3, 2)], chip="a", target=""))


@pytest.mark.parametrize(
    "fault_map",
    [
        made([(0, 1, 2, 1), (0, 3, 4, 2)], array_rows=8, temperature_k=300.5),
        made(arrays=(0, 2)),
        full(gain_arrays=None, gain_lrs=None, gain_hrs=None),
    ],
    ids=["two", "none", "everything"],
)
def test_what_was_written_is_read(fault_map: FaultMap, tmp_path: Path) -> None:
    digest = save_fault_map(fault_map, tmp_path / "m.csv")
    found = load_fault_map(tmp_path / "m.csv")
    assert same(found, fault_map)
    assert found.sha256 == digest


def test_gains_need_the_other_format(tmp_path: Path) -> None:
    with pytest.raises(FaultMapError) as caught:
        save_fault_map(full(), tmp_path / "m.csv")
    assert caught.value.code == "CIMC-F10"
    assert list(tmp_path.iterdir()) == []


def test_many_cells_keep_their_conductances_to_the_last_bit(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    place = np.sort(draw.choice(4 * 256 * 256, 100_000, replace=False))
    cells = np.stack([place // 65536, place // 256 % 256, place % 256, place * 0 + 3], axis=1)
    fault_map = made(cells.tolist(), own_us=draw.lognormal(0, 5, len(cells)).tolist())
    save_fault_map(fault_map, tmp_path / "m.csv")
    assert same(load_fault_map(tmp_path / "m.csv"), fault_map)


HEAD = "# chip: a\narray,row,column,state\n"
HEAD5 = "# chip: a\narray,row,column,state,conductance_uS\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "1:1", "no header"),
        ("# chip: a\n1,2,3,1\n", "2:1", "is not the header"),
        ("# chip: a\narray,column,row,state\n", "2:1", "is not the header"),
        (HEAD + "1,2,3\n", "3:1", "3 values, not 4"),
        (HEAD + "1,2,3,1\n1,2,3,1,5\n", "4:1", "5 values, not 4"),
        (HEAD + "1,2,3,1\n\n1,x,3,1\n", "5:3", "row 'x' is not a whole number"),
        (HEAD + "1,2,3.5,1\n", "3:5", "column '3.5' is not a whole number"),
        (HEAD + "-1,2,3,1\n", "3:1", "array '-1' is not a whole number"),
        (HEAD + "1, -2,3,1\n", "3:4", "row '-2' is not a whole number"),
        (HEAD + "1,2,,1\n", "3:5", "column '' is not a whole number"),
        (HEAD + "1,2,nan,1\n", "3:5", "column 'nan' is not a whole number"),
        (HEAD + "1,2,3,4\n", "3:7", "there is no state 4"),
        (HEAD + "1,2,3,0\n", "3:7", "there is no state 0"),
        (HEAD + "1,2147483648,3,1\n", "3:3", "too large"),
        (HEAD + "1,2,3,3\n", "3:7", "conductance_uS"),
        (HEAD + "1,2,\u0663,1\n", "3:5", "is not a whole number"),
        (HEAD + "1,2,3,1\n1,2,\u2028,1\n", "4:5", "is not a whole number"),
        (HEAD5 + "1,2,3,3,5_0\n", "3:9", "'5_0' is not a conductance"),
        (HEAD5 + "1,2,3,3,\n", "3:9", "state 3 needs a conductance_uS, and there is none"),
        (HEAD5 + "1,2,3,3,high\n", "3:9", "'high' is not a conductance"),
        (HEAD5 + "1,2,3,3,-1\n", "3:9", "-1 uS is no conductance"),
        (HEAD5 + "1,2,3,3,inf\n", "3:9", "inf uS is no conductance"),
        (HEAD5 + "1,2,3,3,1e39\n", "3:9", "1e39 uS is no conductance"),
        (HEAD5 + "1,2,3,1,5\n", "3:9", "state 1 has no conductance of its own"),
        (HEAD5 + "1,2,3,1\n", "3:1", "4 values, not 5"),
        ("# chip: a\n# chip: b\narray,row,column,state\n", "2:9", "chip is given twice"),
        ("# arrays: 0-\n" + HEAD, "1:11", "arrays: '0-' is neither"),
        ("# arrays: 0,1\n" + HEAD + "1,2,3,1\n2,0,0,1\n", "5:1", "array 2 is not among"),
        ("# time_s: soon\n" + HEAD, "1:11", "time_s"),
        ("# array_rows: 0\n" + HEAD, "1:15", "array_rows"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(FaultMapError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "CIMC-F03"
    assert caught.value.where == f"{tmp_path / 'f.csv'}:{place}"
    assert message in caught.value.message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(FaultMapError, match="UTF-8") as caught:
        read(tmp_path, HEAD.encode() + b"1,2,3,1\n\xff\n")
    assert caught.value.where.endswith("f.csv:4:1")


def test_a_cell_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(FaultMapError) as caught:
        read(tmp_path, HEAD + "1,2,3,1\n# a note\n0,0,0,1\n1,2,3,2\n")
    assert caught.value.code == "CIMC-F04"
    assert "array 1, row 2, column 3 is listed in line 3 and again" in caught.value.message
    assert caught.value.where.endswith("f.csv:6:1")


def test_chip_id(tmp_path: Path) -> None:
    with pytest.raises(FaultMapError) as caught:
        read(tmp_path, "array,row,column,state\n")
    assert caught.value.code == "CIMC-F06"
    assert "# chip: ID" in caught.value.hint
    assert read(tmp_path, HEAD, chip="a").chip == "a"
    with pytest.raises(FaultMapError) as caught:
        read(tmp_path, HEAD, chip="b")
    assert caught.value.code == "CIMC-F11"
