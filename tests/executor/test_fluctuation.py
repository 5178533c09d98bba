"""Read noise through whole operations against drawing every cell of every read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from tests.executor import circuit_oracle
from tests.executor.programs import one_layer, quarters, target
from tests.executor.test_circuits import SIGNED, WEIGHTS, codes_of, device_of, program_of

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


@pytest.mark.parametrize("signed", ["bipolar", "two-phase", "shift"])
@pytest.mark.parametrize("drive", ["parallel", "bit-serial", "pulse-width"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_pulse_is_read_anew(weights: str, drive: str, signed: str) -> None:
    """Cells drawn one by one in every pulse, pulse weights and digital factors squared.

    With 4,000 reads a deviation is known to 1.1 %; 6 % is more than 5 standard errors.
    """
    device = device_of(weights, drive, signed, **{"noise.read": {"sigma_relative": SIGMA}})
    program = program_of(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), weights, device, SIGNED,
        ["n", 9], rows=5, columns=3,
    )  # fmt: skip
    x = np.random.default_rng(2).normal(size=(1, 9)).astype(np.float32)
    effects = frozenset({"dac", "read"})
    run = Executor(program, "chip", effects=effects).run({"x": np.repeat(x, READS, 0)})
    y = run.outputs["y"].astype(np.float64)

    layer = program.layers["w"]
    codes, unit = codes_of(x, SIGNED)
    planes = [p.numpy().astype(np.float64)[0] for p in layer.cells.planes]
    if weights == "offset-column":
        planes[1] = planes[1][:, [0, 0, 0, 1]]
    factors = np.stack(circuit_oracle.factors(layer, device, 0))
    factors = np.broadcast_to(factors, (len(planes), 4)) if len(factors) == 1 else factors
    draw = np.random.default_rng(5)
    sampled, power = np.zeros((READS, 4)), np.zeros(4)
    for row, code in enumerate(codes[0]):
        for pulse, weight in circuit_oracle.pulses(int(code), device, 5, True):
            for k, plane in enumerate(planes):
                cell = SIGMA * plane[row] * factors[k] * pulse * weight
                power += cell**2
                shape = (READS, 1) if weights == "offset-column" and k else (READS, 4)
                sampled += cell * draw.standard_normal(shape)
    gain = circuit_oracle.of_group(layer.cells.gain, layer, 0) * unit
    np.testing.assert_allclose(y.std(0), gain * np.sqrt(power), rtol=0.06)
    np.testing.assert_allclose(y.std(0), gain * sampled.std(0), rtol=0.09)
    np.testing.assert_allclose(
        np.corrcoef(y.T)[0, 1], np.corrcoef(sampled.T)[0, 1], rtol=0, atol=0.11
    )
    seen = [plane.numpy() for plane in layer.cells.planes]
    mean = circuit_oracle.multiply(codes[0], layer, seen, device)
    error = 5 * gain * np.sqrt(power / READS) + 1e-4
    assert (np.abs(y.mean(0) - mean * unit) < error).all()
