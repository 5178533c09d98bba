"""Kinds of faults: what is where, and what is left out when there are too many."""

from __future__ import annotations

import numpy as np
import pytest

from cimc.remap import kinds
from cimc.remap.kinds import Matrix, kinds_of


def stuck(planes: int, rate: float, us: tuple[float, ...], seed: int = 0) -> Matrix:
    rng = np.random.default_rng(seed)
    values = rng.choice(np.array(us, np.float32), (planes, 20, 30))
    return np.where(rng.random(values.shape) < rate, values, np.nan).astype(np.float32)


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_every_place_has_the_kind_of_its_cells(planes: int) -> None:
    given = stuck(planes, 0.3, (2.0, 18.0, 7.5))
    found = kinds_of(given)
    assert np.isnan(found.stuck_us[0]).all()
    assert len(np.unique(found.number)) == len(found.stuck_us) <= 4**planes
    again = found.stuck_us[found.number].transpose(2, 0, 1)
    np.testing.assert_array_equal(again, given)


def test_no_fault_is_one_kind() -> None:
    found = kinds_of(stuck(2, 0.0, (1.0,)))
    assert found.stuck_us.shape == (1, 2)
    assert not found.number.any()


def test_exchanged_kinds_are_there_and_go_both_ways() -> None:
    given = stuck(2, 0.05, (2.0, 18.0), seed=2)
    given[:, :, 5:] = np.nan  # not every kind has its counterpart
    found = kinds_of(given)
    both, other = found.swapped()
    np.testing.assert_array_equal(both.number, found.number)
    np.testing.assert_array_equal(both.stuck_us[other], both.stuck_us[:, ::-1])
    np.testing.assert_array_equal(other[other], np.arange(len(other)))
    assert other[0] == 0


def test_too_many_conductances_are_rounded() -> None:
    rng = np.random.default_rng(1)
    given = stuck(2, 0.5, tuple(rng.uniform(2.0, 18.0, 500).tolist()))
    found = kinds_of(given)
    assert len(found.stuck_us) <= kinds.MOST
    again = found.stuck_us[found.number].transpose(2, 0, 1)
    np.testing.assert_array_equal(np.isnan(again), np.isnan(given))
    assert np.nanmax(np.abs(again - given)) <= 0.51 * 16.0 / (kinds._ROUNDED - 1)


def test_of_too_many_slices_the_rare_faults_of_lesser_ones_are_ignored() -> None:
    given = stuck(8, 0.6, (2.0, 18.0))
    found = kinds_of(given)
    assert len(found.stuck_us) <= kinds.MOST
    again = found.stuck_us[found.number].transpose(2, 0, 1)
    kept = ~np.isnan(again)
    assert (again[kept] == given[kept]).all()  # nothing is made up
    np.testing.assert_array_equal(again[7], given[7])  # the greatest multiplier
