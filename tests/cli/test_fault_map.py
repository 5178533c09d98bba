"""``verify`` and ``run`` on the chip that a fault map describes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import cimc
from cimc.faults import AT_G_MIN, FaultMap, save_fault_map
from cimc.faults.extent import extent_of
from cimc.program import write
from cimc.program.model import DeviceProgram
from tests.cli.conftest import Call, Files


def whole(program: DeviceProgram, chip: str, share: float) -> FaultMap:
    """The first rows of every array that is used are stuck at G_min."""
    extent = extent_of(program)
    cells = [
        (array, row, column, AT_G_MIN)
        for array, rows, columns in zip(extent.arrays, extent.rows, extent.columns, strict=True)
        for row in range(int(share * rows))
        for column in range(columns)
    ]
    found: npt.NDArray[np.int32] = np.array(cells, np.int32).reshape(-1, 4)
    return FaultMap(chip, "rram", extent.arrays, found, np.zeros(len(found), np.float32))


@pytest.fixture
def chip_a(files: Files, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A program for chip A, which has no faults; maps of A and of B, which is all faults."""
    program = cimc.load(files.program)
    a, b = whole(program, "A", 0.0), whole(program, "B", 1.0)
    save_fault_map(a, tmp_path / "a.safetensors")
    save_fault_map(b, tmp_path / "b.safetensors")
    write(replace(program, faults=a.record()), tmp_path / "a.cim")
    return tmp_path / "a.cim", tmp_path / "a.safetensors", tmp_path / "b.safetensors"


def test_without_faults_nothing_changes(
    call: Call, files: Files, chip_a: tuple[Path, Path, Path]
) -> None:
    base = ("verify", files.program, "--reference", files.model, "--data", files.data, "--json")
    plain = call(*base, "--chips", 3).json
    assert plain["chip"] is None
    done = call(*base, "--chips", 3, "--fault-map", chip_a[1])
    assert (done.code, done.json["chip"]) == (0, "A")
    assert "of chip A" in done.err
    assert [done.json[k] for k in ("ideal", "noise_free")] == [plain["ideal"], plain["noise_free"]]
    # 'stuck' is not drawn where a map says which cells are.
    assert "stuck" not in done.json["effects"]


def test_where_every_cell_is_stuck_no_input_matters(
    call: Call, files: Files, chip_a: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Every difference of a pair is 0: of ``W x + b`` only what does not depend on x is left."""
    out = tmp_path / "y.npz"
    base = ("run", files.program, "--data", files.data, "--ideal", "-o", out)
    assert call(*base).code == 0
    assert np.ptp(np.load(out)["y"], axis=0).min() > 0.01
    done = call(*base, "--fault-map", chip_a[2])
    assert done.code == 0, done.err
    assert np.ptp(np.load(out)["y"], axis=0).max() == 0.0
    again = cimc.run(str(files.program), files.data, mode="ideal", fault_map=chip_a[2])
    np.testing.assert_array_equal(again["y"], np.load(out)["y"])


def test_another_chip_is_refused_unless_told(
    call: Call, files: Files, chip_a: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    program, _, other = chip_a
    given = ("--data", files.data, "--fault-map", other)
    for command in (("verify", program), ("run", program, "-o", tmp_path / "y.npz")):
        done = call(*command, *given)
        assert done.code == 4
        assert "CIMC-F11" in done.err
        assert "'B'" in done.err
        assert "'A'" in done.err
        assert call(*command, *given, "--any-chip").code == 0
    done = call("verify", program, *given, "--any-chip", "--chips", 2, "--json")
    assert done.json["chip"] == "B"


def test_golden_vectors_without_these_faults_are_no_failure(
    call: Call, chip_a: tuple[Path, Path, Path]
) -> None:
    program, own, other = chip_a
    same = call("verify", program, "--fault-map", own, "--chips", 2, "--json")
    assert (same.code, same.json["warnings"]) == (0, [])
    done = call("verify", program, "--fault-map", other, "--any-chip", "--chips", 2, "--json")
    assert done.code == 0
    assert "made without this fault map" in done.json["warnings"][0]
    assert done.json["noise_free"] < 10


@pytest.mark.parametrize("command", ["verify", "run"])
def test_any_chip_needs_a_fault_map(
    call: Call, files: Files, tmp_path: Path, command: str
) -> None:
    extra = ("--data", files.data, "-o", tmp_path / "y.npz") if command == "run" else ()
    done = call(command, files.program, *extra, "--any-chip")
    assert done.code == 2
    assert "CIMC-U06" in done.err


def test_what_the_map_does_not_describe_counts_as_healthy(
    call: Call, files: Files, chip_a: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    csv = tmp_path / "f.csv"
    csv.write_text("# chip: C\n# arrays: 3000\narray,row,column,state\n")
    for command in (("verify", files.program), ("run", files.program, "-o", tmp_path / "y.npz")):
        done = call(*command, "--data", files.data, "--fault-map", csv)
        text = " ".join(done.err.split())
        assert done.code == 0, done.err
        assert "does not describe" in text
        assert "does not say of which target" in text


def test_measured_conductances_have_the_faults_in_them(
    call: Call, files: Files, chip_a: tuple[Path, Path, Path]
) -> None:
    done = call("verify", files.program, "--measured", "g.npz", "--fault-map", chip_a[1])
    assert done.code == 2
    assert "CIMC-U06" in done.err
