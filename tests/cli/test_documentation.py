"""The command line page names every JSON key and every exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Call, Files

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text("utf-8")


def documented(section: str) -> set[str]:
    start = PAGE.index(f"\n`{section}")
    text = PAGE[start : PAGE.index("\n\n", start)]
    return set(re.findall(r"`([a-z0-9_]+)`", text))


@pytest.mark.parametrize(
    ("section", "args"),
    [
        ("compile", ["compile", "{model}", "--target", "rram", "-o", "{out}"]),
        ("verify", ["verify", "{program}", "--chips", "2"]),
        (
            "sensitivity",
            [
                *("sensitivity", "{program}", "--reference", "{model}", "--data", "{data}"),
                *("--sweep", "at=1 s", "--chips", "1", "-o", "{out}.svg"),
            ],
        ),
        ("inspect", ["inspect", "{program}"]),
        ("inspect", ["inspect", "{program}", "--array", "0"]),
        ("target list", ["target", "list"]),
        ("target list", ["target", "check", "rram"]),
    ],
)
def test_every_json_key_is_documented(
    call: Call, files: Files, tmp_path: Path, section: str, args: list[str]
) -> None:
    names = {"model": files.model, "program": files.program, "data": files.data}
    names["out"] = tmp_path / "o.cim"
    done = call(*(a.format(**names) for a in args), "--json")
    assert done.code == 0, done.err
    assert set(done.json) <= documented(section)
    for point in done.json.get("points", ()):
        assert set(point) <= documented(section)


def test_layer_keys_are_documented(call: Call, files: Files) -> None:
    name = call("inspect", files.program, "--json").json["crossbar_layers"][0]["name"]
    done = call("inspect", files.program, "--layer", name, "--json")
    assert set(done.json) <= documented("inspect")


def test_exit_codes() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [
        *("0", "1", "2", "3", "4", "5", "70", "130")
    ]
