"""``cimc faults``: sample, show, check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cimc.faults import load_fault_map
from tests.cli.conftest import Call, Files

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text("utf-8")


def documented(section: str) -> set[str]:
    start = PAGE.index(f"\n`{section}")
    return set(re.findall(r"`([a-z0-9_]+)`", PAGE[start : PAGE.index("\n\n", start)]))


def test_sample_show_check(call: Call, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    base = ("faults", "sample", files.program, "--rate", 0.1, "--seed", 7, "--json")
    drawn = call(*base, "-o", path)
    assert drawn.code == 0, drawn.err
    assert set(drawn.json) <= documented("faults sample")
    (chip,) = drawn.json["chips"]
    assert set(chip) <= documented("faults sample")
    assert (chip["chip"], drawn.json["target"]) == ("chip-7", "rram")
    assert chip["sha256"] == load_fault_map(path).sha256
    assert chip["faulty_cells"] == len(load_fault_map(path).cells) > 1000
    assert drawn.json["expected_rate"] == pytest.approx(0.1)

    shown = call("faults", "show", path, "-o", tmp_path / "p.svg", "--json")
    assert shown.code == 0, shown.err
    assert set(shown.json) <= documented("faults show")
    assert shown.json["faulty_cells"] == chip["faulty_cells"]
    assert (tmp_path / "p.svg").read_bytes().startswith(b"<?xml")
    assert "arrays with most faults" in shown.err
    assert call("faults", "show", path, "-o", tmp_path / "p.png", "--array", 0).code == 0

    for extra in ((), (files.program,), ("--target", "rram")):
        good = call("faults", "check", path, *extra, "--json")
        assert good.code == 0, good.err
        assert set(good.json) <= documented("faults check")
        assert (good.json["valid"], good.json["warnings"]) == (True, [])
    used = call("faults", "check", path, files.program, "--json").json
    assert used["described_arrays"] == used["used_arrays"] > 0
    assert used["faulty_cells_in_use"] == chip["faulty_cells"]


def test_the_same_seed_gives_the_same_bytes(call: Call, files: Files, tmp_path: Path) -> None:
    base = ("faults", "sample", files.program, "--rate", 0.05, "--clusters", "0.5,10,3")
    for name in ("a", "b"):
        assert call(*base, "--seed", 3, "-o", tmp_path / f"{name}.safetensors").code == 0
    first = (tmp_path / "a.safetensors").read_bytes()
    assert first == (tmp_path / "b.safetensors").read_bytes()
    assert call(*base, "--seed", 4, "-o", tmp_path / "b.safetensors").code == 0
    assert first != (tmp_path / "b.safetensors").read_bytes()


def test_several_chips_into_a_folder(call: Call, files: Files, tmp_path: Path) -> None:
    base = ("faults", "sample", files.program, "--rate", 0.01, "--seed", 5)
    done = call(*base, "--count", 3, "--chip", "W1/L", "-o", tmp_path / "maps", "--json")
    assert done.code == 0, done.err
    names = sorted(p.name for p in (tmp_path / "maps").iterdir())
    assert names == [f"W1_L-{seed}.safetensors" for seed in (5, 6, 7)]
    assert [c["chip"] for c in done.json["chips"]] == ["W1/L-5", "W1/L-6", "W1/L-7"]
    # One of them is the chip that its seed gives alone.
    alone = tmp_path / "alone.safetensors"
    assert call(*base[:-1], 6, "--chip", "W1/L-6", "-o", alone).code == 0
    assert alone.read_bytes() == (tmp_path / "maps" / names[1]).read_bytes()


def test_rates_of_states_gains_and_lines(call: Call, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    given = ("--at-g-max", 0.02, "--at-conductance", 0.01, "--conductance", "3..4uS")
    given += ("--row-rate", 0.05, "--sigma-lrs", 0.1, "--distribution", "lognormal")
    assert call("faults", "sample", files.program, *given, "-o", path).code == 0
    shown = call("faults", "show", path, "--json").json
    assert shown["at_g_min"] == 0
    assert shown["at_g_max"] > shown["at_conductance"] > 0
    assert 3 <= shown["conductance_us"]["min"] <= shown["conductance_us"]["max"] <= 4
    assert shown["broken_rows"] > 0
    assert shown["sigma_lrs"] == pytest.approx(0.1, rel=0.1)
    assert shown["sigma_hrs"] is None


def test_csv(call: Call, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    assert call("faults", "sample", files.program, "--rate", 0.01, "-o", path).code == 0
    assert call("faults", "check", path, files.program).code == 0
    path.write_text("array,row,column,state\n0,0,0,7\n")
    done = call("faults", "check", path, "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "CIMC-F03")
    assert done.json["error"]["where"] == f"{path}:2:7"
    path.write_text("array,row,column,state\n0,0,0,1\n")
    assert call("faults", "check", path).code == 4
    done = call("faults", "check", path, "--chip", "a", "--target", "rram", "--json")
    assert (done.code, done.json["chip"]) == (0, "a")
    assert "does not say of which target" in done.json["warnings"][0]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("sample", "--rate", 0.1, "-o", "f.safetensors"), "CIMC-U06"),
        (("sample", "{program}", "--target", "rram", "--rate", 0.1, "-o", "f.csv"), "CIMC-U06"),
        (("sample", "{program}", "-o", "f.csv"), "CIMC-U06"),
        (("sample", "{program}", "--rate", 0.1, "--at-g-min", 0.1, "-o", "f.csv"), "CIMC-U06"),
        (("sample", "{program}", "--rate", 0.1, "-o", "f.txt"), "CIMC-U06"),
        (("sample", "{program}", "--rate", 1, "--conductance", "2..5", "-o", "f.csv"), "CIMC-U06"),
        (("sample", "{program}", "--sigma-lrs", 0.1, "-o", "f.csv"), "CIMC-U06"),
        (("sample", "{program}", "--rate", 2, "-o", "f.csv"), "CIMC-U01"),
        (("sample", "{program}", "--rate", 0.1, "--clusters", "x", "-o", "f.csv"), "CIMC-U02"),
        (("sample", "{program}", "--rate", 0.1, "--clusters", "1,2,3,4", "-o", "f.csv"),
         "CIMC-U02"),
        (("sample", "{program}", "--rate", 0.1, "--conductance", "a..", "-o", "f.csv"),
         "CIMC-U02"),
        (("sample", "{program}", "--rate", 0.1, "--arrays", "3-1", "-o", "f.csv"), "CIMC-U02"),
        (("sample", "{program}", "--rate", 0.1, "--arrays", "4096", "-o", "f.csv"), "CIMC-F08"),
        (("sample", "{program}", "--rate", 0.1, "-o", "none/f.csv"), "CIMC-U07"),
        (("show", "f.safetensors", "--array", 0), "CIMC-U06"),
        (("show", "f.safetensors", "-o", "p.pdf"), "CIMC-U06"),
        (("check", "f.safetensors", "{program}", "--target", "rram"), "CIMC-F01"),
    ],
)  # fmt: skip
def test_calls_that_are_wrong(
    call: Call, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    args: tuple[object, ...], code: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = call("faults", *(str(a).format(program=files.program) for a in args), "--json")
    assert done.json["error"]["code"] == code
    assert done.code == (4 if code[5] == "F" else 2)
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_the_program_does_not_use(call: Call, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base = ("faults", "sample", files.program, "--rate", 0.01, "-o", path)
    assert call(*base, "--arrays", "0-2,7").code == 0
    assert load_fault_map(path).arrays.tolist() == [0, 1, 2, 7]
    assert call("faults", "check", path, files.program).code == 0


def test_another_target_is_refused(call: Call, files: Files, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    assert call("faults", "sample", files.program, "--rate", 0.01, "-o", path).code == 0
    done = call("faults", "check", path, "--target", "pcm", "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "CIMC-F07")
