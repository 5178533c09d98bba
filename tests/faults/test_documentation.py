"""The page on fault maps: its example files are read, its program runs, its codes exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cimc.faults import FaultMap, checked, load_fault_map
from cimc.targets import load_target
from tests.faults.maps import made, same

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "fault-maps.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_csv_example(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(blocks("text")[0])
    found = load_fault_map(tmp_path / "f.csv")
    cells = [(0, 12, 200, 1), (0, 13, 7, 2), (3, 255, 0, 3)]
    wanted = made(
        cells, own_us=(5.25,), arrays=(*range(64), 70), array_rows=256, array_columns=256,
        temperature_k=300.0, time_s=3600.0,
    )  # fmt: skip
    assert same(found, wanted)
    assert checked(found, load_target("rram"))[1] == ()


def test_the_program_that_writes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (b for b in blocks("python") if "safetensors" in b and "save_file" in b)
    exec(compile(code, "fault-maps.md", "exec"), {})
    found = load_fault_map("W3-17.safetensors")
    assert same(found, made([(0, 12, 200, 1), (0, 13, 7, 2)], arrays=range(64)))


def test_every_tensor_and_every_key_is_documented() -> None:
    from cimc.faults import metadata, reader

    for name in (*reader._TENSORS, *metadata.Metadata.model_fields):
        assert f"`{name}`" in PAGE
    assert set(FaultMap.__slots__) - {"sha256", "record"} <= set(re.findall(r"`(\w+)`", PAGE))


def test_links_lead_to_pages() -> None:
    for link in re.findall(r"\]\((errors/CIMC-F\d\d\.md|pictures/[a-z.-]+)\)", PAGE):
        assert (DOCS / link).is_file()
