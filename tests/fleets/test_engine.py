"""The fleet makes what ``cimc.recompile`` makes, trained or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cimc
from cimc.errors import CimcError
from cimc.fleets.engine import recompiler
from cimc.fleets.settings import FleetSettings
from cimc.pipeline.recompile import recompile
from cimc.remap.settings import RemapSettings
from tests.fleets.conftest import Files, fault_map


@pytest.mark.parametrize(
    ("fleet", "alone"),
    [
        ({}, {}),
        ({"method": "nearest"}, {"method": "nearest"}),
        ({"cells": "codebook", "seed": 3}, {"settings": RemapSettings(cells="codebook", seed=3)}),
        ({"skip": ("rows", "bias")}, {"skip": ("rows", "bias")}),
        ({"train_data": 1, "recipe": 1}, {"train_data": 1, "recipe": 1}),
    ],
)
def test_as_recompiled_alone(
    files: Files, tmp_path: Path, fleet: dict[str, Any], alone: dict[str, Any]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("training:\n  epochs: 1\n")
    given = {"train_data": str(files.data), "recipe": str(recipe)}
    fleet = {name: given.get(name, value) for name, value in fleet.items()}
    alone = {name: given.get(name, value) for name, value in alone.items()}
    for_chip = recompiler(cimc.load(files.program), FleetSettings(**fleet))
    for count in (6, 24):  # the second is not touched by the first
        faults = fault_map(f"c{count}", count)
        _, report = for_chip(faults, tmp_path / "one.cim")
    result = recompile(files.program, faults, output=tmp_path / "two.cim", **alone)
    assert report["sha256"] == result.report.sha256
    assert report["faulty_cells"] == result.report.faulty_cells


def test_training_that_cannot_be_is_refused_at_once(files: Files, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("levels: 3\n")
    settings = FleetSettings(train_data=str(files.data), recipe=str(recipe))
    with pytest.raises(CimcError) as caught:
        recompiler(cimc.load(files.program), settings)
    assert caught.value.code == "CIMC-U73"
