"""Targets with one non-ideality each, and layers to see it on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cimc.executor.cells import StuckCells, conductances_us
from cimc.executor.physics import Physics
from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS, Cells
from cimc.program.model import ProgramLayer
from cimc.targets.compatibility import switched_on
from tests.executor.programs import layer, target

#: What each non-ideality of cells looks like in a target.
SECTIONS: dict[str, dict[str, Any]] = {
    "programming": {"noise__programming": {"sigma": "0.25 uS"}},
    "device-to-device": {"noise__device_to_device": {"sigma_lrs": 0.1, "sigma_hrs": 0.2}},
    "correlated": {"noise__correlated": {"sigma_relative": 0.1, "wafer_sigma_relative": 0.05}},
    "relaxation": {"noise__relaxation": {"rate": 0.05, "sigma_relative": 0.01}},
    "drift": {"noise__drift": {"nu": 0.05, "nu_sigma": 0.02}},
    "stuck": {"stuck": {"at_g_min": 0.1, "at_g_max": 0.1}},
    "lines": {"lines": {"open_word_line": 0.1, "stuck_bit_line": 0.1}},
    "temperature": {
        "noise__thermal": {"temperature": "350 K", "tc_lrs_per_k": -2e-3, "ea_hrs": "0.1 eV"}
    },
    "telegraph": {"noise__read__telegraph": {"amplitude": 0.2, "cells": 0.5}},
}


def physics(at_s: float = 0.0, **sections: object) -> Physics:
    """Return what a chip with the non-idealities of some sections models."""
    if "noise__read__telegraph" in sections:
        sections["noise__read"] = {"telegraph": sections.pop("noise__read__telegraph")}
    device = target(**sections)
    return Physics(device, switched_on(device) - {"dac", "adc"}, at_s)


def only(name: str, at_s: float = 3600.0) -> Physics:
    """Return what a chip with one non-ideality models."""
    return physics(at_s, **SECTIONS[name])


def filled(
    g_us: float | Tensor, shape: tuple[int, int] = (200, 100), name: str = "w", array: int = 0
) -> ProgramLayer:
    """Return a layer of one tile, at the corner of an array, whose cells all stand somewhere."""
    one = layer(torch.ones(shape), Geometry("matrix", 1, *shape), (), name=name)
    planes = tuple(torch.zeros(1, *shape) + g_us for _ in range(2))
    tiles = np.array([[0, 0, 0, shape[0], 0, shape[1], array, 0, 0]], dtype=np.int32)
    assert tiles.shape[1] == len(TILE_FIELDS)
    return replace(one, cells=Cells(planes, None, torch.ones(1)), tiles=tiles)


def chip(
    one: ProgramLayer,
    modelled: Physics,
    seed: int = 0,
    faults: dict[int, StuckCells] | None = None,
) -> tuple[Tensor, ...]:
    """Return the conductances of a layer on one chip."""
    return conductances_us(one, one.cells.planes, modelled, seed, faults or {})
