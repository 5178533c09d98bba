"""``cimc recompile``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cimc.cli.recompile import default_output, error
from cimc.faults import sample, save_fault_map
from cimc.program import read
from tests.cli.conftest import Call, Files
from tests.cli.test_documentation import documented


@pytest.fixture
def chip(files: Files, tmp_path: Path) -> Path:
    """The fault map of a chip of the program's target."""
    path = tmp_path / "chip.safetensors"
    save_fault_map(sample(read(Path(files.program)), rate=0.1, seed=4), path)
    return path


def test_a_program_for_a_chip(call: Call, files: Files, chip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.cim"
    done = call("recompile", files.program, "--fault-map", chip, "-o", out, "--json")
    assert done.code == 0, done.err
    assert done.json["program"] == str(out)
    assert done.json["chip"] == "chip-4"
    assert set(done.json) <= documented("recompile")
    for layer in done.json["layers"]:
        assert set(layer) <= documented("recompile")
    made = read(out)
    assert made.sha256 == done.json["sha256"]
    assert made.faults is not None
    for said in ("faulty cells", "output error", "cimc verify"):
        assert said in done.err
    assert call("verify", out).code == 0
    other = tmp_path / "other.safetensors"
    save_fault_map(sample(made, rate=0.1, seed=5), other)
    refused = call("verify", out, "--fault-map", other)
    assert refused.code == 4
    assert "CIMC-F11" in refused.err
    assert call("verify", out, "--fault-map", other, "--any-chip").code == 0


def test_options_reach_the_program(call: Call, files: Files, chip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.cim"
    options = ["--method", "nearest", "--cells", "codebook", "--seed", "3"]
    done = call("recompile", files.program, "--fault-map", chip, "-o", out, *options)
    assert done.code == 0, done.err
    settings = read(out).provenance["recompiled"]["settings"]
    assert (settings["method"], settings["cells"], settings["seed"]) == ("nearest", "codebook", 3)
    options = ["--skip", "rows, gain", "--healthy"]
    done = call("recompile", files.program, "--fault-map", chip, "-o", out, *options)
    assert done.code == 0, done.err
    settings = read(out).provenance["recompiled"]["settings"]
    assert [settings[name] for name in ("healthy", "rows", "gain", "bias")] == [True, 0, 0, True]


@pytest.mark.parametrize("option", [["--skip", "rows"], ["--healthy"]])
def test_what_nearest_does_not_have_is_refused(
    option: list[str], call: Call, files: Files, chip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.cim"
    given = ["--fault-map", chip, "-o", out, "--method", "nearest", *option]
    refused = call("recompile", files.program, *given)
    assert refused.code == 2
    assert "CIMC-U06" in refused.err
    assert not out.exists()


def test_what_is_refused(call: Call, files: Files, chip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.cim"
    wrong = call("recompile", files.program, "--fault-map", chip, "-o", out, "--skip", "row")
    assert wrong.code == 2
    assert "CIMC-U65" in wrong.err
    missing = call("recompile", files.program, "--fault-map", tmp_path / "none", "-o", out)
    assert missing.code in (2, 4)
    assert not out.exists()


def test_the_program_lies_beside_the_other_by_the_name_of_the_chip() -> None:
    assert default_output("a/net.cim", "W7-3") == "a/net.W7-3.cim"
    assert default_output("net", "x") == "net.x.cim"


def test_errors_are_shares() -> None:
    assert error(None) == "-"
    assert re.fullmatch(r"0\.096 %", error(0.00096))
