"""The chain of effects on the cells of a layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.executor.cells import StuckCells, conductances_us, targets_us
from cimc.executor.physics import Physics
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Cells
from cimc.program.model import ProgramLayer
from tests.executor.devices import SECTIONS, chip, filled, only, physics
from tests.executor.programs import layer, quarters, target

EXACT = Physics(target(), frozenset())
ALL = {key: value for section in SECTIONS.values() for key, value in section.items()}


def example() -> ProgramLayer:
    return layer(quarters((40, 30), 0), Geometry("matrix", 1, 40, 30), (), rows=16)


def test_states_are_looked_up() -> None:
    codes = torch.tensor([[[0, 2], [1, 2]]], dtype=torch.uint8)
    cells = Cells((codes, 2 - codes), torch.tensor([2.0, 5.0, 18.0]), torch.ones(1))
    plus, minus = targets_us(cells, torch.device("cpu"))
    assert plus.tolist() == [[[2, 18], [5, 18]]]
    assert minus.tolist() == [[[18, 2], [5, 2]]]


def test_without_noise_nothing_is_copied() -> None:
    one = example()
    same = conductances_us(one, one.cells.planes, EXACT, 0, {})
    assert all(a is b for a, b in zip(same, one.cells.planes, strict=True))


@pytest.mark.parametrize("name", [*SECTIONS, "all"])
def test_a_chip_is_its_seed_and_leaves_the_program_alone(name: str) -> None:
    modelled = physics(3600.0, **ALL) if name == "all" else only(name)
    one, before = example(), example()
    first, again, other = chip(one, modelled), chip(one, modelled), chip(one, modelled, seed=1)
    for plane in range(2):
        assert torch.equal(first[plane], again[plane])
        assert not torch.equal(first[plane], one.cells.planes[plane])
        assert torch.equal(other[plane], first[plane]) == (name == "temperature")
        assert torch.equal(one.cells.planes[plane], before.cells.planes[plane])
        assert float(first[plane].min()) >= 0


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - {"temperature"}))
def test_planes_are_drawn_independently(name: str) -> None:
    plus, minus = chip(filled(10.0), only(name))
    assert not torch.equal(plus, minus)


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - {"temperature", "correlated", "lines"}))
def test_draws_depend_on_the_layer_not_on_its_tiles(name: str) -> None:
    one, modelled = example(), only(name)
    whole = layer(quarters((40, 30), 0), Geometry("matrix", 1, 40, 30), ())
    assert all(map(torch.equal, chip(one, modelled), chip(whole, modelled)))
    renamed = chip(replace(one, name="v"), modelled)
    assert not torch.equal(renamed[0], chip(one, modelled)[0])


@pytest.mark.parametrize("name", ["correlated", "lines"])
def test_what_belongs_to_an_array_is_the_same_for_every_layer_on_it(name: str) -> None:
    one, modelled = filled(10.0, name="w"), only(name)
    assert all(map(torch.equal, chip(one, modelled), chip(replace(one, name="v"), modelled)))
    elsewhere = chip(filled(10.0, array=1), modelled)
    assert not torch.equal(elsewhere[0], chip(one, modelled)[0])


def test_every_cell_has_its_own_programming_noise() -> None:
    noisy = chip(example(), only("programming"))
    plus, minus = (g - t for g, t in zip(noisy, example().cells.planes, strict=True))
    for noise in (plus, minus):
        assert float(noise.std()) == pytest.approx(0.25, rel=0.1)
    both = torch.stack([plus.flatten(), minus.flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.15


def test_stuck_cells_have_no_noise_and_do_not_drift() -> None:
    modelled = physics(
        1e6,
        stuck={"at_g_min": 0.1, "at_g_max": 0.2},
        **SECTIONS["programming"], **SECTIONS["drift"], **SECTIONS["device-to-device"],
        **SECTIONS["relaxation"], **SECTIONS["correlated"],
    )  # fmt: skip
    plus, _ = chip(filled(10.0), modelled)
    assert float((plus == 2.0).float().mean()) == pytest.approx(0.1, abs=0.011)
    assert float((plus == 18.0).float().mean()) == pytest.approx(0.2, abs=0.015)


def test_stuck_cells_change_with_temperature() -> None:
    modelled = physics(**SECTIONS["temperature"], stuck={"at_g_min": 0.0, "at_g_max": 1.0})
    np.testing.assert_allclose(chip(filled(10.0), modelled)[0], 18.0 * 0.9, rtol=1e-6)


def test_known_faults_come_after_random_ones() -> None:
    modelled = physics(**SECTIONS["programming"], lines={"stuck_word_line": 1.0})
    known = StuckCells(torch.tensor([0, 105]), torch.tensor([2.0, 7.5]))
    plus, minus = chip(filled(10.0), modelled, faults={1: known})
    assert minus[0, 0, 0] == 2.0
    assert minus[0, 1, 5] == 7.5
    assert plus.unique().tolist() == [18.0]


def test_known_faults_on_an_open_line_carry_no_current() -> None:
    known = StuckCells(torch.tensor([0]), torch.tensor([7.5]))
    plus, _ = chip(filled(10.0), physics(lines={"open_bit_line": 1.0}), faults={0: known})
    assert plus.unique().tolist() == [0.0]


def test_known_faults_do_not_change_the_program() -> None:
    one = filled(10.0)
    chip(one, EXACT, faults={0: StuckCells(torch.tensor([0]), torch.tensor([7.5]))})
    assert one.cells.planes[0].unique().tolist() == [10.0]


def test_measured_conductances_replace_all() -> None:
    one, read_back = filled(10.0), (torch.full((1, 200, 100), 3.0), torch.zeros(1, 200, 100))
    got = conductances_us(one, one.cells.planes, physics(3600.0, **ALL), 0, {}, read_back)
    assert got == read_back
