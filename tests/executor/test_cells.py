from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cimc.executor.cells import StuckCells, conductances_us, targets_us
from cimc.executor.physics import Physics
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Cells
from cimc.program.model import ProgramLayer
from tests.executor.programs import layer, quarters, target

EXACT = Physics(target(), frozenset())
PROGRAMMING = Physics(target(noise__programming={"sigma": "0.25 uS"}), frozenset({"programming"}))


def example() -> ProgramLayer:
    return layer(quarters((40, 30), 0), Geometry("matrix", 1, 40, 30), ())


def planes(physics: Physics, seed: int = 0, faults=None, name: str = "w"):
    one = replace(example(), name=name)
    return conductances_us(one, one.cells.planes, physics, seed, faults or {})


def test_states_are_looked_up() -> None:
    codes = torch.tensor([[[0, 2], [1, 2]]], dtype=torch.uint8)
    cells = Cells((codes, 2 - codes), torch.tensor([2.0, 5.0, 18.0]), torch.ones(1))
    plus, minus = targets_us(cells, torch.device("cpu"))
    assert plus.tolist() == [[[2, 18], [5, 18]]]
    assert minus.tolist() == [[[18, 2], [5, 2]]]


def test_without_noise_nothing_is_copied() -> None:
    one = example()
    for got, given in zip(planes(EXACT), one.cells.planes, strict=True):
        torch.testing.assert_close(got, given)
    same = conductances_us(one, one.cells.planes, EXACT, 0, {})
    assert all(a is b for a, b in zip(same, one.cells.planes, strict=True))


def test_every_cell_of_both_planes_has_its_own_noise() -> None:
    noisy = planes(PROGRAMMING)
    plus, minus = (g - t for g, t in zip(noisy, example().cells.planes, strict=True))
    for noise in (plus, minus):
        assert float(noise.std()) == pytest.approx(0.25, rel=0.1)
    both = torch.stack([plus.flatten(), minus.flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.15


def test_draws_depend_on_chip_and_layer() -> None:
    first = planes(PROGRAMMING)[0]
    assert torch.equal(first, planes(PROGRAMMING)[0])
    assert not torch.equal(first, planes(PROGRAMMING, seed=1)[0])
    assert not torch.equal(first, planes(PROGRAMMING, name="v")[0])


def test_stuck_cells_have_no_noise() -> None:
    physics = Physics(
        target(noise__programming={"sigma": "0.25 uS"}, stuck={"at_g_min": 0.1, "at_g_max": 0.2}),
        frozenset({"programming", "stuck"}),
    )
    plus, _ = planes(physics)
    assert float((plus == 2.0).float().mean()) == pytest.approx(0.1, abs=0.03)
    assert float((plus == 18.0).float().mean()) == pytest.approx(0.2, abs=0.04)


def test_known_faults_come_last() -> None:
    known = StuckCells(torch.tensor([0, 35]), torch.tensor([2.0, 7.5]))
    plus, minus = planes(PROGRAMMING, faults={1: known})
    assert minus[0, 0, 0] == 2.0
    assert minus[0, 1, 5] == 7.5
    assert float((plus == 7.5).sum()) == 0
