"""Effects that meet: idle cells and wires, compensation and wires."""

from __future__ import annotations

import numpy as np
import pytest

from cimc.device.ir_drop import Wires
from cimc.device.nodal import Nodal
from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.program.arrays import conductance_us
from cimc.program.model import DeviceProgram
from tests.executor.programs import one_layer, quarters, target

ROWS, COLUMNS = 12, 20
WIRES = {"word_line": "30 ohm", "bit_line": "20 ohm", "driver": "400 ohm", "sense": "250 ohm"}
OHMS = Wires(30.0, 20.0, 400.0, 250.0)
X = np.random.default_rng(0).uniform(0, 1, (7, ROWS)).astype(np.float32)


def network(**sections: object) -> DeviceProgram:
    """A layer of 12 x 3 weights on an array of 13 x 20 cells: 12 bit lines stay idle."""
    size = {"array__rows": ROWS + 1, "array__columns": COLUMNS}
    device = target(wires=WIRES, read__dac_bits=None, adc__bits=None, **size, **sections)
    geometry = Geometry("matrix", 1, ROWS, 3)
    return one_layer("matmul", quarters((ROWS, 3), 0), geometry, ["n", ROWS], device=device)


def outputs(program: DeviceProgram, at_s: float = 0.0):
    return Executor(program, at_s=at_s).run({"x": X}).outputs["y"]


def oracle(program: DeviceProgram, g_us):
    """Outputs of a whole array in Kirchhoff's equations: word line 0 is switched off."""
    cells = np.zeros((ROWS + 1, COLUMNS))
    cells[1:] = g_us[1:]
    currents = Nodal(cells, OHMS).currents(np.pad(X, ((0, 0), (1, 0))))
    gain = float(program.layers["w"].cells.gain)
    return (currents[:, 2:8:2] - currents[:, 3:8:2]) * gain


def test_idle_cells_on_broken_lines_load_the_wires() -> None:
    """On stuck word lines all cells conduct, also those without weights."""
    program = network(lines={"stuck_word_line": 1.0})
    exact = oracle(program, np.full((ROWS + 1, COLUMNS), 18.0))
    np.testing.assert_allclose(outputs(program), exact, rtol=1e-4, atol=1e-5)
    with_weights = np.full((ROWS + 1, COLUMNS), 2.0)
    with_weights[:, 2:8] = 18.0
    assert np.abs(oracle(program, with_weights) - exact).max() > 1e-3


def test_idle_cells_have_the_temperature_of_the_others() -> None:
    heat = {"temperature": "400 K", "ea_hrs": "0.3 eV", "tc_lrs_per_k": -1e-3}
    program = network(noise__thermal=heat)
    g = conductance_us(program, 0).astype(np.float64)
    s = (g - 2) / 16
    hot = 2 * np.exp(-0.3 / 8.617333262e-5 * (1 / 400 - 1 / 300))
    exact = oracle(program, (1 - s) * hot + s * 18 * 0.9)
    np.testing.assert_allclose(outputs(program), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compensation", ["global", "per-column"])
def test_the_reads_of_a_compensation_see_the_wires(compensation: str) -> None:
    """Less current is lost in the wires after the drift, which the factor must not hide."""
    law = {"nu": 0.2, "compensation": compensation}
    program = network(noise__drift=law)
    before = conductance_us(program, 0).astype(np.float64)
    now = np.full_like(before, 2.0)
    now[:, 2:8] = before[:, 2:8] * 1e6**-0.2
    sums = []
    for g in (before, now):
        cells = np.zeros_like(g)
        cells[1:] = g[1:]
        one = Nodal(cells, OHMS).currents(np.pad(np.ones((1, ROWS)), ((0, 0), (1, 0))))[0, 2:8]
        sums.append(one.reshape(3, 2).sum(1))
    factor = sums[0] / sums[1] if compensation == "per-column" else sums[0].sum() / sums[1].sum()
    exact = oracle(program, now) * factor
    np.testing.assert_allclose(outputs(program, 1e6), exact, rtol=1e-4, atol=1e-5)
    assert np.abs(factor / 1e6**0.2 - 1).max() > 0.01
