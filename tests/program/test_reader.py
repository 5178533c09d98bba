from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from cimc.errors import ProgramError
from cimc.program import files, read, write
from tests.program.factories import mlp


def same(a: Any, b: Any) -> bool:
    """Compare records, tensors included."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    if isinstance(a, Mapping):
        return set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("extras", [True, False])
@pytest.mark.parametrize(
    ("encoding", "states"),
    [
        ("differential-pair", 16),
        ("differential-pair", 2),
        ("differential-pair", None),
        ("offset-column", 5),
        ("offset-column", None),
        ("twin-arrays", 16),
        ("twin-arrays", None),
        ("bit-sliced", 2),
        ("bit-sliced", None),
        ("sliced-conductances", 4),
        ("own-states", 7),
        ("sliced-conductances", None),
        ("signed", None),
    ],
)
def test_read_gives_back_what_was_written(tmp_path, encoding, states, extras):
    program = mlp(encoding, states=states, extras=extras)
    digest = write(program, tmp_path / "p.cim")
    for verify in (True, False):
        again = read(tmp_path / "p.cim", verify=verify)
        assert again.sha256 == digest
        assert same(dataclasses.replace(again, sha256=""), program)


def test_layers_and_operations_keep_their_order(stored):
    program = read(stored)
    assert list(program.layers) == ["conv", "fc1", "fc2"]
    assert [o.name for o in program.operations][:2] == ["conv", "relu"]


def test_float_planes_are_views_of_the_file(tmp_path):
    write(mlp("signed"), tmp_path / "p.cim")
    program = read(tmp_path / "p.cim")
    plane = program.layers["fc1"].cells.planes[0]
    plane.zero_()  # private to this process
    assert read(tmp_path / "p.cim").layers["fc1"].cells.planes[0].abs().max() > 0


def refused(path: Any) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        read(path)
    assert "\n" not in caught.value.message
    return caught.value


def test_paths_that_are_no_program(tmp_path):
    for path in (tmp_path / "none", tmp_path, "bad\0name", __file__):
        assert refused(path).code == "CIMC-P01"


def test_a_path_may_be_text_and_a_link_to_a_program(stored, tmp_path):
    (tmp_path / "link").symlink_to(stored)
    assert read(str(tmp_path / "link")).sha256 == read(stored).sha256


@pytest.mark.parametrize("name", sorted(files.ALLOWED))
def test_a_file_missing_linked_or_special(stored, tmp_path, name):
    path = tmp_path / "p.cim"
    path.mkdir()
    for p in stored.iterdir():
        (path / p.name).write_bytes(p.read_bytes())
    (path / name).unlink()
    assert refused(path).code == "CIMC-P03"
    (path / name).symlink_to(stored / name)
    assert "not a regular file" in refused(path).message
    (path / name).unlink()
    os.mkfifo(path / name)
    assert "not a regular file" in refused(path).message
    (path / name).unlink()
    (path / name).mkdir()
    assert "not a regular file" in refused(path).message


def test_a_file_too_many(stored, tmp_path):
    path = tmp_path / "p.cim"
    path.mkdir()
    for p in stored.iterdir():
        (path / p.name).write_bytes(p.read_bytes())
    (path / "readme.txt").write_text("hello")
    error = refused(path)
    assert error.code == "CIMC-P03"
    assert "readme.txt" in error.message
    assert str(path) in error.where


def test_a_huge_manifest_is_not_read(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("cimc.program.reader.MAX_MANIFEST", 100)
    assert refused(stored).code == "CIMC-P05"
