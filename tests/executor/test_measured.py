"""Conductances read back from a chip in place of modelled ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.errors import ProgramError
from cimc.executor import Executor
from cimc.executor.measured import cells_of
from cimc.ir.geometry import Geometry
from tests.executor.programs import one_layer, quarters, target

CPU = torch.device("cpu")


def network(**sections: object):
    device = target(read__dac_bits=None, adc__bits=None, **sections)
    return one_layer(
        "matmul", quarters((8, 5), 0), Geometry("matrix", 1, 8, 5), ["n", 8], device=device
    )


def test_a_chip_is_computed_with_what_was_read() -> None:
    """Nothing that the target says of cells happens to them again."""
    program = network(
        noise__programming={"sigma": "1 uS"}, noise__drift={"nu": 0.1, "compensation": "global"},
        stuck={"at_g_max": 0.5}, read__at="1000 s",
    )  # fmt: skip
    read_back = {"w": tuple(p + i for i, p in enumerate(program.layers["w"].cells.planes))}
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    got = Executor(program, measured=read_back).run({"x": x}).outputs["y"]
    plus, minus = (plane[0].numpy() for plane in read_back["w"])
    gain = float(program.layers["w"].cells.gain)
    np.testing.assert_allclose(got, x @ (plus - minus) * gain, rtol=1e-4, atol=1e-5)
    ideal = Executor(program, "ideal", measured=read_back).run({"x": x}).outputs["y"]
    exact = Executor(program, "ideal").run({"x": x}).outputs["y"]
    np.testing.assert_array_equal(ideal, exact)


def test_reads_of_a_measured_chip_fluctuate() -> None:
    program = network(noise__read={"sigma_relative": 0.05})
    chip = Executor(program, measured={"w": program.layers["w"].cells.planes})
    x = np.ones((2, 8), np.float32)
    assert not np.array_equal(chip.run({"x": x}).outputs["y"], chip.run({"x": x}).outputs["y"])


def test_a_cell_that_was_not_measured_is_named() -> None:
    program = network()
    plus, minus = (plane.clone() for plane in program.layers["w"].cells.planes)
    plus[0, :, 2] = torch.nan
    with pytest.raises(ProgramError, match="8 of 80 cells were not measured") as caught:
        Executor(program, measured={"w": (plus, minus)})
    assert caught.value.code == "CIMC-P60"
    assert "layer 'w'" in str(caught.value)


@pytest.mark.parametrize(
    ("read_back", "message"),
    [
        ({}, "no conductances"),
        ({"w": (torch.zeros(1, 8, 5),)}, r"\(1, 8, 5\)"),
        ({"w": (torch.zeros(1, 8, 5), torch.zeros(8, 5))}, r"\(8, 5\)"),
        ({"v": ()}, "no such layer"),
    ],
)
def test_a_read_back_of_something_else(read_back, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        cells_of(network(), read_back, CPU)
    assert caught.value.code == "CIMC-P61"
