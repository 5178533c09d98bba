"""``cimc fleet``, with the recompiler that everybody has."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cimc.faults import save_fault_map
from cimc.program import read
from tests.cli.conftest import Call, Files
from tests.cli.test_documentation import documented
from tests.fleets.conftest import fault_map


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Three chips and a broken map."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for i in range(3):
        save_fault_map(fault_map(f"c{i}", 4 * i), folder / f"{i}.safetensors")
    (folder / "torn.csv").write_text("torn")
    return folder


def test_a_directory_of_maps_to_a_directory_of_programs(
    call: Call, files: Files, maps: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    args = ["fleet", files.program, "--fault-maps", maps, "-o", out, "--workers", 0]
    args += ["--verify-data", files.data, "--reference", files.model, "--json"]
    done = call(*args, "--csv", tmp_path / "chips.csv")
    assert done.code == 1, done.err
    assert (done.json["done"], done.json["failed"], done.json["chips"]) == (3, 1, 4)
    assert "torn: CIMC-F" in done.err.replace("warning: ", "")
    assert (out / "yield.svg").read_bytes().startswith(b"<?xml")
    alone = call("recompile", files.program, "--fault-map", maps / "2.safetensors",
                 "-o", tmp_path / "alone.cim", "--json")  # fmt: skip
    assert read(out / "c2.cim").sha256 == alone.json["sha256"]
    with (tmp_path / "chips.csv").open(newline="") as file:
        rows = {row["chip"]: row for row in csv.DictReader(file)}
    assert rows["c2"]["program_sha256"] == alone.json["sha256"]
    for name in ("cells", "faulty_cells", "affected_weights", "remapped_weights"):
        assert int(rows["c2"][name]) == alone.json[name]
    parts = [done.json, *(part for n in ("yields", "worst", "failures") for part in done.json[n])]
    assert all(set(part) <= documented("fleet") for part in parts)
    again = call(*args, "--min-yield", 0.75)
    assert (again.code, again.json["before"]) == (0, 3)


def test_the_report_alone(call: Call, files: Files, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["fleet", files.program, "--fault-maps", maps, "-o", out, "--workers", 0]
    call(*args, "--method", "nearest", "--verify-data", files.data)
    first = (out / "yield.svg").read_bytes()
    (out / "yield.svg").unlink()
    done = call("fleet", "--report", out, "--min-accuracy", 0.0, "--json")
    assert (done.code, done.json["passing"], done.json["seconds"]) == (1, 3, None)
    call("fleet", "--report", out)
    assert (out / "yield.svg").read_bytes() == first


def test_what_is_missing_is_named(call: Call, files: Files, tmp_path: Path) -> None:
    for args, word in (
        ([], "PROGRAM"),
        ([files.program], "--fault-maps"),
        ([files.program, "--fault-maps", tmp_path], "-o"),
    ):
        done = call("fleet", *args)
        assert done.code == 2
        assert word in done.err
    done = call("fleet", files.program, "--report", tmp_path)
    assert (done.code, "both --report and PROGRAM" in done.err) == (2, True)
    assert call("fleet", "--report", tmp_path).code == 2


def test_what_would_change_nothing_is_refused(call: Call, files: Files, tmp_path: Path) -> None:
    args = ["fleet", files.program, "--fault-maps", tmp_path, "-o", tmp_path / "out"]
    done = call(*args, "--verify-data", files.data, "--seeds", 3)
    assert (done.code, "CIMC-U06]: --seeds is given with --mode ideal" in done.err) == (2, True)
    done = call(*args, "--csv", tmp_path / "nowhere" / "chips.csv")
    assert (done.code, "try another --csv" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()
