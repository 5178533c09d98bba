from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.pipeline.sensitivity_store import (
    Store,
    digest_of_program,
    replace_file,
)
from cimc.verification.data import Data, digest_of_data
from tests.program.factories import mlp

SETTINGS = {"program": "p", "chips": 3, "samples": 10}


def refused(path: Path, settings: dict[str, object] = SETTINGS) -> str:
    with pytest.raises(UsageError) as caught:
        Store(path, settings, resume=True)
    assert caught.value.code == "CIMC-U10"
    return str(caught.value)


def test_points_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    first = Store(path, SETTINGS, resume=True)  # nothing there yet
    first.add("a", {"mean": 0.5})
    first.add("b", {"mean": None})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.json"]
    again = Store(path, SETTINGS, resume=True)
    assert again.records == {"a": {"mean": 0.5}, "b": {"mean": None}}
    assert Store(path, SETTINGS, resume=False).records == {}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_points_of_another_study_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.json"
    Store(path, SETTINGS, resume=False).add("a", {})
    text = refused(path, {**SETTINGS, name: 99})
    assert f"{name} {SETTINGS[name]}, asked for 99" in text


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "1", "{}", "[" * 100_000, "\udcff"),
        '{"version": 1}',
        '{"version": 1, "settings": [], "points": {}}',
        '{"version": 1, "settings": {}, "points": {"a": 1}}',
        '{"version": 9, "settings": {"program": "p", "chips": 3, "samples": 10}, "points": {}}',
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(content, "utf-8", errors="surrogateescape")
    refused(path)
    assert path.read_text("utf-8", errors="surrogateescape") == content


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.json"
    replace_file(path, b"old")

    def fail(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["s.json"]


def test_nothing_is_kept_without_a_place() -> None:
    store = Store(None, SETTINGS, resume=True)
    store.add("a", {"x": 1})
    assert store.records["a"] == {"x": 1}


def test_digests_tell_things_apart() -> None:
    one = mlp()
    cells = one.layers["conv"].cells
    plane = cells.planes[0].clone()
    plane[0, 0, 0] += 1
    layer = replace(one.layers["conv"], cells=replace(cells, planes=(plane, cells.planes[1])))
    other = replace(one, layers={**one.layers, "conv": layer})
    assert digest_of_program(one) == digest_of_program(mlp())
    assert digest_of_program(one) != digest_of_program(other)
    assert digest_of_program(replace(one, sha256="abc")) == "abc"
    x = np.zeros((2, 3), np.float32)
    digests = [
        digest_of_data(Data({"x": x}, None, 2)),
        digest_of_data(Data({"x": x + 1}, None, 2)),
        digest_of_data(Data({"x": x.reshape(3, 2)}, None, 3)),
        digest_of_data(Data({"x": x}, np.zeros(2, np.int64), 2)),
    ]
    assert len(set(digests)) == 4


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.json", SETTINGS, resume=False)
    store.write({"report": {"metric": "top1"}})
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["report"] == {"metric": "top1"}
    assert content["settings"] == SETTINGS
