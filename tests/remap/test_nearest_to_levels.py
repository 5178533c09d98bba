"""Weights at levels are looked up once a level: the result is that of looking up each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.remap.options_types import CellFaults
from cimc.remap.pair_options import pair_options
from cimc.remap.reachable_tables import TableOptions

SHAPE = (2, 30, 4)


def options(rate: float, *, own: bool, levels: torch.Tensor | None = None) -> TableOptions:
    """Pairs of which a share of the cells is stuck, at the ends of the range or between."""
    draw = np.random.default_rng(1)
    columns = SHAPE[0] * SHAPE[2]
    table = np.sort(draw.uniform(1.0, 20.0, (columns, 5) if own else 5)).astype(np.float32)
    gain = torch.tensor(draw.uniform(-1, 1, columns), dtype=torch.float32)
    gain[1] = 0.0
    held = draw.choice([1.0, 20.0, 7.3], (2, *SHAPE)).astype(np.float32)
    stuck = np.where(draw.random((2, *SHAPE)) < rate, held, np.float32(np.nan))
    faults = CellFaults((torch.from_numpy(stuck[0]), torch.from_numpy(stuck[1])))
    made = pair_options(faults, torch.from_numpy(table), gain, levels)
    assert isinstance(made, TableOptions)
    return made


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("each", [False, True])
def test_as_if_each_were_looked_up(rate: float, own: bool, each: bool) -> None:
    draw = np.random.default_rng(2)
    columns = SHAPE[0] * SHAPE[2]
    levels = torch.tensor(np.sort(draw.uniform(-20, 20, (columns, 6))), dtype=torch.float32)
    levels = levels if each else levels[0]
    codes = torch.tensor(draw.integers(0, 6, SHAPE), dtype=torch.uint8)
    at = levels.expand(columns, -1).reshape(SHAPE[0], SHAPE[2], 6).transpose(1, 2)
    wanted = torch.gather(at, 1, codes.long())
    wanted[:, ::7] += 0.4  # not where their codes say
    for made in (options(rate, own=own), options(rate, own=own, levels=levels)):
        value, choice = made.nearest_to_levels(wanted, levels, codes)
        known, chosen = made.nearest(wanted)
        assert torch.equal(choice, chosen)
        assert torch.equal(value, known)


def test_a_part_of_a_layer_knows_no_columns() -> None:
    made = options(0.3, own=True)[:, :5]
    wanted = torch.zeros(2, 5, 4)
    codes = torch.zeros(2, 5, 4, dtype=torch.uint8)
    value, _ = made.nearest_to_levels(wanted, torch.zeros(1), codes)
    assert torch.equal(value, made.nearest(wanted)[0])
