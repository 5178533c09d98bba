"""One program a chip, one row a chip, whatever goes wrong with the others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cimc
from cimc.errors import CimcError
from cimc.faults import load_fault_map
from cimc.fleets.records import Record
from cimc.fleets.standing import Standing
from cimc.program import read, write
from cimc.verification.npz import read_npz
from tests.fleets import stand_in
from tests.fleets.conftest import Files, Fleet, fault_map, rows, write_maps

CHIPS = ["a", "b c", "d/e"]


def test_a_program_and_a_row_for_every_chip(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    report = fleet(CHIPS, verify_data=files.data)
    found = rows(tmp_path / "out")
    assert sorted(found) == sorted(CHIPS)
    assert (report.chips, report.done, report.failed, report.passed) == (3, 3, 0, True)
    assert {r["program"] for r in found.values()} == {"a.cim", "b%20c.cim", "d%2Fe.cim"}
    make = stand_in.engine(read(files.program), None)  # type: ignore[arg-type]
    for i, path in enumerate(sorted((tmp_path / "maps").iterdir())):
        row, faults = found[CHIPS[i]], load_fault_map(path)
        _, alone = make(faults, tmp_path / "alone.cim")
        assert row["program_sha256"] == alone["sha256"]
        program = read(tmp_path / "out" / row["program"])
        assert program.sha256 == alone["sha256"]
        assert program.faults is not None
        assert program.faults.chip == CHIPS[i]
        assert (row["fault_map"], row["fault_map_sha256"]) == (path.name, faults.sha256)
        assert (row["status"], row["faulty_cells"], row["attempts"]) == ("done", 2 * i, 1)
        assert row["fault_rate"] == 2 * i / (256 * 256)
        verified = cimc.verify(program, data=files.data, mode="ideal")
        assert row["accuracy"] == row["accuracy_min"] == verified.ideal
        assert row["metric"] == "top1"
        assert row["seconds"] > row["verify_seconds"] > 0


def test_what_failed_says_why_and_stops_nothing(fleet: Fleet, tmp_path: Path) -> None:
    chips = ["refused", "a", "b", "broken", "c"]
    write_maps(tmp_path / "maps", chips)
    (tmp_path / "maps" / "torn.safetensors").write_bytes(b"torn")
    (tmp_path / "maps" / "bare.csv").write_text("# chip: bare\narray,row,column,state\n0,1,2,9\n")
    (tmp_path / "maps" / "notes.txt").write_text("not a fault map")
    report = fleet()
    found = rows(tmp_path / "out")
    assert {c: r["error_code"] for c, r in found.items() if r["status"] == "failed"} == {
        "refused": "CIMC-S01",
        "broken": "CIMC-I19",
        "bare": "CIMC-F03",
        "torn.safetensors": "CIMC-F02",
    }
    assert found["refused"]["error_message"] == "refused has no room (at array 3)"
    assert "ZeroDivisionError" in found["broken"]["error_message"]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.cim")) == ["a.cim", "b.cim", "c.cim"]
    assert (report.done, report.failed, report.passed) == (3, 4, False)
    assert {f["chip"] for f in report.failures} == set(found) - {"a", "b", "c"}
    assert fleet(min_yield=3 / 7).passed
    assert not fleet(min_yield=0.43).passed


def test_two_maps_of_one_chip(fleet: Fleet, tmp_path: Path) -> None:
    write_maps(tmp_path / "maps", ["a", "b"])
    (tmp_path / "maps" / "A.csv").write_text("array,row,column,state\n")  # named after its file
    with pytest.raises(CimcError, match=r"000-a\.safetensors and A\.csv") as caught:
        fleet()
    assert caught.value.code == "CIMC-U76"
    assert not (tmp_path / "out").exists()


def test_no_maps(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    with pytest.raises(CimcError) as caught:
        fleet()
    assert caught.value.code == "CIMC-U76"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"min_accuracy": 0.9}, "CIMC-U04"),
        ({"mode": "chip"}, "CIMC-U04"),
        ({"samples": 5}, "CIMC-U04"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "CIMC-U06"),
        ({"workers": -1}, "CIMC-U02"),
        ({"min_yield": 1.5}, "CIMC-U02"),
        ({"mode": "loud"}, "CIMC-U02"),
        ({"verify_data": "nothing.npz"}, "CIMC-U07"),
        ({"program": "nothing.cim"}, "CIMC-P01"),
    ],
)
def test_wrong_calls(fleet: Fleet, options: dict[str, Any], code: str) -> None:
    with pytest.raises(CimcError) as caught:
        fleet(["a"], **options)
    assert caught.value.code == code


def test_a_program_from_memory(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    fleet(["a"], program=files.program)
    before = rows(tmp_path / "out")["a"]["program_sha256"]
    report = fleet(["a"], program=read(files.program))
    assert report.before == 1
    assert rows(tmp_path / "out")["a"]["program_sha256"] == before


def test_programs_that_are_kept(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    chips = [f"c{i}" for i in range(6)]
    every = fleet(chips, verify_data=files.data)
    digests = {c: r["program_sha256"] for c, r in rows(tmp_path / "out").items()}
    limit = every.median
    for keep in ("none", "passing"):
        out = tmp_path / keep
        report = fleet(output=out, verify_data=files.data, keep_programs=keep, min_accuracy=limit)
        assert 0 < report.passing < 6
        found = rows(out)
        assert {c: r["program_sha256"] for c, r in found.items()} == digests
        kept = {r["program"] for r in found.values() if r["program"] is not None}
        assert {p.name for p in out.glob("*.cim")} == kept
        wanted = {f"{c}.cim" for c, r in found.items() if r["accuracy"] >= limit}
        assert kept == (wanted if keep == "passing" else set())
        again = fleet(output=out, verify_data=files.data, keep_programs=keep, min_accuracy=limit)
        assert again.before == 6


@pytest.mark.parametrize("mode", ["noise-free", "chip"])
def test_other_modes(fleet: Fleet, files: Files, tmp_path: Path, mode: str) -> None:
    fleet(["a", "b"], verify_data=files.data, mode=mode, seeds=3, seed=5, reference=files.model)
    data = read_npz(files.data)
    for row in rows(tmp_path / "out").values():
        program = read(tmp_path / "out" / row["program"])
        seeds = range(5, 8) if mode == "chip" else [0]
        runs = [cimc.run(program, {"x": data["x"]}, mode=mode, seed=i)["y"] for i in seeds]
        right = [float((y.argmax(1) == data["labels"]).mean()) for y in runs]
        assert row["accuracy"] == pytest.approx(np.mean(right), abs=1e-12)
        assert row["accuracy_min"] == pytest.approx(min(right), abs=1e-12)


def test_against_the_float_network(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    from cimc.verification.reference import OnnxModel

    x = read_npz(files.data)["x"]
    np.savez(tmp_path / "bare.npz", x=x)
    report = fleet(["a", "b", "c"], verify_data=tmp_path / "bare.npz", reference=files.model)
    assert (report.metric, report.baseline, report.reference) == ("agreement", "float", 1.0)
    wanted = OnnxModel(files.model).run({"x": x})["y"].argmax(1)
    for row in rows(tmp_path / "out").values():
        program = read(tmp_path / "out" / row["program"])
        got = cimc.run(program, {"x": x}, mode="ideal")["y"].argmax(1)
        assert row["accuracy"] == float((got == wanted).mean())


def test_first_samples_only(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    report = fleet(["a", "b", "c"], verify_data=files.data, samples=7)
    assert report.samples == 7
    data = read_npz(files.data)
    for row in rows(tmp_path / "out").values():
        program = read(tmp_path / "out" / row["program"])
        got = cimc.run(program, {"x": data["x"][:7]}, mode="ideal")["y"].argmax(1)
        assert row["accuracy"] == float((got == data["labels"][:7]).mean())


def test_a_place_that_is_taken(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "out" / "a.cim").mkdir(parents=True)
    (tmp_path / "out" / "a.cim" / "diary").write_text("mine")
    report = fleet(["a", "b"])
    assert rows(tmp_path / "out")["a"]["error_code"] == "CIMC-P25"
    assert (report.done, report.failed) == (1, 1)
    assert (tmp_path / "out" / "a.cim" / "diary").read_text() == "mine"


def test_the_map_in_the_file_is_the_map_in_the_program(fleet: Fleet, tmp_path: Path) -> None:
    fleet(["a", "b", "c"])
    faults = read(tmp_path / "out" / "c.cim").faults
    assert faults is not None
    np.testing.assert_array_equal(faults.cells, fault_map("c", 4).cells)


def test_a_program_that_changes_meanwhile(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "moving.cim"
    shutil.copytree(files.program, path)

    def change(record: Record | None, standing: Standing) -> None:
        write(replace(read(path), warnings=("changed",)), path)

    with pytest.raises(CimcError) as caught:
        fleet(["a", "b"], program=path, told=change)
    assert caught.value.code == "CIMC-U77"
