"""Read noise through whole operations against drawing every cell of every read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from tests.executor.programs import one_layer, quarters, target

SIGMA, READS = 0.1, 4000


def measured(program, x: np.ndarray) -> np.ndarray:
    """One read a sample: ``(READS, ...)``."""
    return Executor(program).run({"x": np.repeat(x, READS, 0)}).outputs["y"].astype(np.float64)


def cells(program) -> list[torch.Tensor]:
    return [plane.double() for plane in program.layers["w"].cells.planes]


@pytest.mark.parametrize("dac", [Dac(), Dac(8, True, "dynamic")])
@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_moments_of_a_matrix(encoding: str, dac: Dac) -> None:
    """With 4,000 reads a deviation is known to 1.1 %, a correlation to 0.016."""
    program = one_layer(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), ["n", 9],
        encoding=encoding, rows=4, columns=3, dac=dac,
        device=target(encoding=encoding, **{"noise.read": {"sigma_relative": SIGMA}}),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, 9)).astype(np.float32)
    y = measured(program, x)

    own, shared = cells(program)
    pair = encoding == "differential-pair"
    tile = torch.tensor([0, 0, 0, 1])
    partner = shared[0] if pair else shared[0][:, tile]
    power = torch.from_numpy(x[0]).double().square()
    gain = float(program.layers["w"].cells.gain)
    expected = gain * SIGMA * (power @ (own[0].square() + partner.square())).sqrt().numpy()
    np.testing.assert_allclose(y.std(0), expected, rtol=0.06)
    exact = x[0] @ (gain * (own[0] - partner)).numpy()
    tolerance = 5 * expected / READS**0.5 + 0.02 * np.abs(exact).max()
    assert (np.abs(y.mean(0) - exact) < tolerance).all()
    both = gain * SIGMA * (power @ partner.square()).sqrt().numpy()
    correlation = np.corrcoef(y.T)
    together = 0.0 if pair else both[0] ** 2 / (expected[0] * expected[1])
    assert correlation[0, 1] == pytest.approx(together, abs=0.07)
    assert correlation[0, 3] == pytest.approx(0.0, abs=0.07)


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
def test_moments_of_convolutions(op: str) -> None:
    kernel, groups = (3, 2), 2
    if op == "conv":
        weight, geometry = quarters((6, 2, 3, 2), 1), Geometry("conv", 2, 12, 3, kernel)
        product = F.conv2d
    else:
        weight, geometry = quarters((4, 3, 3, 2), 1), Geometry("conv-transpose", 2, 2, 18, kernel)
        product = F.conv_transpose2d
    program = one_layer(
        op, weight, geometry, ["n", 4, 4, 3], attributes={"group": groups}, rows=6,
        device=target(**{"noise.read": {"sigma_relative": SIGMA}}),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    y = measured(program, x)
    own, partner = cells(program)
    squares = geometry.from_matrix(own.square() + partner.square(), tuple(weight.shape))
    power = product(torch.from_numpy(x).double().square(), squares, groups=groups)
    expected = float(program.layers["w"].cells.gain) * SIGMA * power.sqrt().numpy()
    np.testing.assert_allclose(y.std(0), expected[0], rtol=0.07)


def test_noise_passes_the_converter() -> None:
    """The noise is in the current: results stay on the converter's grid."""
    program = one_layer(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), ["n", 9],
        dac=Dac(8, True, "static", 3.0), adc_bits=6, i_max_us=62.0,
        device=target(**{"noise.read": {"sigma_relative": SIGMA}}),
    )  # fmt: skip
    y = Executor(program).run({"x": np.ones((50, 9), dtype=np.float32)}).outputs["y"]
    step = 62.0 / 31 * 3.0 * float(program.layers["w"].cells.gain)
    codes = y / step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert len(np.unique(np.rint(codes[:, 0]))) > 1
