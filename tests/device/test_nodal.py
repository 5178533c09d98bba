"""Node voltages of arrays against closed forms and Kirchhoff's laws written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cimc.device.ir_drop import Wires
from cimc.device.nodal import Nodal
from tests.benchmarks.ir_drop import STORED_INPUTS, array

STORED = Path(__file__).parent / "data" / "badcrossbar.npz"


def test_currents_into_every_node_add_up_to_zero() -> None:
    rng = np.random.default_rng(0)
    g_us, v = rng.uniform(1, 100, (5, 4)), rng.uniform(-1, 1, (3, 5))
    wires = Wires(2.0, 3.0, 10.0, 20.0)
    word, bit = Nodal(g_us, wires).voltages(v)
    through = (word - bit) * g_us * 1e-6
    before = np.concatenate([v[:, :, None], word[:, :, :-1]], 2)
    ohms = np.full(4, 2.0)
    ohms[0] += 10.0
    along = (before - word) / ohms
    np.testing.assert_allclose(along, np.flip(np.flip(through, 2).cumsum(2), 2), atol=1e-12)
    after = np.concatenate([bit[:, 1:], np.zeros((3, 1, 4))], 1)
    ohms = np.full((5, 1), 3.0)
    ohms[-1] += 20.0
    np.testing.assert_allclose((bit - after) / ohms, through.cumsum(1), atol=1e-12)


def test_without_resistances_nothing_is_solved() -> None:
    g_us, v = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 10.0]])
    np.testing.assert_allclose(Nodal(g_us, Wires()).currents(v), v @ g_us)


def test_driver_and_amplifier_alone_make_dividers() -> None:
    """One word line on two cells behind 1 kohm: the driver sees 10 kohm parallel 40 kohm."""
    nodal = Nodal(np.array([[100.0, 25.0]]), Wires(driver_ohm=1e3))
    volt = 8e3 / 9e3
    np.testing.assert_allclose(nodal.currents(np.ones((1, 1))), [[100 * volt, 25 * volt]])
    nodal = Nodal(np.array([[100.0]]), Wires(sense_ohm=1e3, driver_ohm=1e3))
    np.testing.assert_allclose(nodal.currents(np.ones((1, 1))), [[1e6 / 12e3]])


@pytest.mark.parametrize("size", [64, 128])
def test_currents_are_those_of_badcrossbar(size: int) -> None:
    ohms, volts = array(size, STORED_INPUTS)
    with np.load(STORED) as stored:
        expected = stored[f"currents_{size}"]
    found = Nodal(1e6 / ohms, Wires(1.0, 1.0)).currents(volts) * 1e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * expected.max())
