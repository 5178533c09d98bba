from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call, Files


def base(files: Files, out: Path) -> tuple[object, ...]:
    return (
        *("sensitivity", files.program, "--reference", files.model, "--data", files.data),
        *("-o", out, "--chips", 2),
    )


def test_the_table_and_the_picture(call: Call, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "s.svg"
    done = call(*base(files, out), "--json")
    assert done.code == 0, done.err
    report = done.json
    groups = [p["group"] for p in report["points"]]
    assert groups.count("alone") == groups.count("all but") == len(report["points"][0]["effects"])
    assert "alone programming noise" in done.err
    assert "each alone" in out.read_text()
    kept = json.loads((tmp_path / "s.json").read_text())
    assert kept["report"]["points"] == report["points"]


def test_a_sweep_goes_on(call: Call, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "s.svg"
    sweep = ("--sweep", "noise.programming.sigma=0 uS,1 uS", "--json")
    first = call(*base(files, out), *sweep)
    assert first.code == 0, first.err
    again = call(*base(files, out), *sweep, "--resume")
    assert again.json["resumed"] == 2
    assert again.json["points"] == first.json["points"]
    assert "2 of them measured before" in again.err
    other = call(*base(files, out), *sweep, "--resume", "--seed", 5)
    assert (other.code, other.json["error"]["code"]) == (2, "CIMC-U10")


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("CIMC-U09", ["--sweep", "adc.bit=4"]),
        ("CIMC-U08", ["--at", "1 week"]),
        ("CIMC-U02", ["--confidence", "1.5"]),
        ("CIMC-U01", ["--samples", "0"]),
    ],
)
def test_what_is_refused(
    call: Call, files: Files, tmp_path: Path, code: str, options: list[str]
) -> None:
    done = call(*base(files, tmp_path / "s.svg"), *options, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, code)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_no_picture(call: Call, files: Files, tmp_path: Path) -> None:
    assert "CIMC-U06" in call(*base(files, tmp_path / "s.png")).err
    assert "CIMC-U07" in call(*base(files, tmp_path / "no" / "s.svg")).err


def test_an_interruption_leaves_the_finished_points(
    call: Call, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(point: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cimc.cli.sensitivity._line", stop)
    done = call(*base(files, tmp_path / "s.svg"))
    assert done.code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["s.json"]
    assert list(json.loads((tmp_path / "s.json").read_text())["points"]) == ["all"]
