"""Targets for tests: the smallest of each encoding and drive, and files of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cimc.errors import TargetError
from cimc.targets import Target, load_target, problems, schema

BASE: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "array": {"rows": 64, "columns": 64},
    "cell": {"g_min": "1 uS", "g_max": "20 uS", "default_levels": 16},
    "read": {"dac_bits": 8},
    "adc": {"bits": 8},
}


def plain(encoding: str = "differential-pair", drive: str = "parallel") -> dict[str, Any]:
    """Return the smallest description of an encoding and a drive, as plain data."""
    data = copy.deepcopy(BASE) | {"encoding": encoding}
    data["read"]["drive"] = drive
    if encoding == "signed":
        data["cell"] = {}
        data["read"] = {"drive": drive}
        data["adc"] = {}
    if encoding == "bit-sliced":
        data["slices"] = {"count": 4}
    return data


def changed(data: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """Return plain data with settings changed by their dotted path."""
    data = copy.deepcopy(data)
    for path, value in changes.items():
        *parents, key = path.split(".")
        section = data
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    return data


def rules_broken(data: dict[str, Any]) -> list[str]:
    """Return what contradicts (T04) or is wrong (T03), leaving out what is not supported yet."""
    _, found = schema.check(data)
    return [f"{problems.dotted(p.path)}: {p.message}" for p in found if p.code != "CIMC-T05"]


def from_file(folder: Path, data: dict[str, Any]) -> Target:
    """Write a description to a file and load it."""
    path = folder / "t.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return load_target(path)


def refusal(folder: Path, data: dict[str, Any]) -> TargetError:
    """Return the error of loading a description from a file."""
    with pytest.raises(TargetError) as caught:
        from_file(folder, data)
    return caught.value
