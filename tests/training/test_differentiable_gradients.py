"""Gradients of reads against finite differences, closed forms, and the plain layer."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from cimc.executor.matrices import weight_shape
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, ProgramLayer
from cimc.training.differentiable import read_of
from cimc.training.differentiable_rounding import Rounding
from tests.executor.programs import one_layer
from tests.executor.test_circuits import DRIVES, SIGNED_INPUTS
from tests.training.chips import KINDS_AND_WEIGHTS, SIGNED, Case, case, run

CELLS: dict[str, dict[str, Any]] = {
    "programming": {"noise.programming": {"sigma": "0.25 uS"}},
    "lognormal": {"noise.programming": {"sigma_log": 0.2}},
    "polynomial": {"noise.programming": {"polynomial": [0.01, 0.05, -0.03]}},
    "device-to-device": {"noise.device_to_device": {"sigma_lrs": 0.05, "sigma_hrs": 0.1}},
    "lognormal devices": {
        "noise.device_to_device": {
            "sigma_lrs": 0.05, "sigma_hrs": 0.1, "distribution": "lognormal"
        }
    },
    "correlated": {"noise.correlated": {"sigma_relative": 0.1, "wafer_sigma_relative": 0.05}},
    "relaxation": {"noise.relaxation": {"rate": 0.05, "sigma_relative": 0.01}},
    "drift": {"noise.drift": {"nu": 0.05, "nu_slope": -0.02, "nu_sigma": 0.02}},
    "compensated": {"noise.drift": {"nu": 0.05, "nu_slope": -0.03, "compensation": "global"}},
    "columns": {"noise.drift": {"nu": 0.05, "nu_slope": -0.03, "compensation": "per-column"}},
    "stuck": {"stuck": {"at_g_min": 0.2, "at_g_max": 0.2}},
    "lines": {"lines": {"open_word_line": 0.1, "stuck_bit_line": 0.1, "open_bit_line": 0.1}},
    "temperature": {
        "noise.thermal": {"temperature": "350 K", "tc_lrs_per_k": -2e-3, "ea_hrs": "0.1 eV"}
    },
    "telegraph": {"noise.read": {"telegraph": {"amplitude": 0.2, "cells": 0.5}}},
    "both wires": {
        "wires": {"word_line": "50 ohm", "bit_line": "50 ohm", "driver": "1 kohm"},
        "array": {"rows": 16, "columns": 32},
    },
    "word lines": {"wires": {"word_line": "50 ohm"}, "array": {"rows": 16, "columns": 32}},
    "bit lines": {"wires": {"bit_line": "50 ohm"}, "array": {"rows": 16, "columns": 32}},
}  # fmt: skip

READS: dict[str, dict[str, Any]] = {
    "white": {"noise.read": {"sigma_relative": 0.2}},
    "1/f": {"noise.read": {"one_over_f": {"amplitude": 0.05, "exponent": 0.5, "limit": 0.5}}},
    "telegraph": {"noise.read": {"telegraph": {"amplitude": 0.4, "cells": 0.7}}},
    "johnson": {"noise.thermal": {"bandwidth": "100 GHz"}},
    "white behind wires": {
        "noise.read": {"sigma_relative": 0.2}, **CELLS["both wires"], **CELLS["lines"]
    },
    "sinh": {"cell.nonlinearity": {"sinh": "0.1 V"}},
    "polynomial": {"cell.nonlinearity": {"polynomial": [1.0, 0.3]}},
}  # fmt: skip


def inner_planes(program: DeviceProgram, seed: int = 1) -> list[Tensor]:
    """Conductance targets away from where any effect has a kink [uS]."""
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.empty(p.shape).uniform_(7.0, 13.0, generator=draw)
        for p in program.layers["w"].cells.planes
    ]


def assert_finite_differences(
    program: DeviceProgram, x: Tensor, planes: list[Tensor], step: float, **options: Any
) -> None:
    """Along random directions of the input and the cells, for a random sum of the outputs."""
    leaves = [x.clone().requires_grad_(), *(p.clone().requires_grad_() for p in planes)]
    draw = torch.Generator().manual_seed(2)

    def loss(x: Tensor, *planes: Tensor) -> Tensor:
        y = run(program, x, planes={"w": planes}, reader=read_of, **options)
        weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape).cos()
        return (y.double() * weights).sum()

    gradients = torch.autograd.grad(loss(*leaves), leaves)
    for number, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        for _ in range(3):
            way = torch.empty(leaf.shape).normal_(generator=draw)
            still = [v.detach() for v in leaves]
            up, down = ([*still[:number], leaf.detach() + s * way, *still[number + 1 :]]
                        for s in (step, -step))  # fmt: skip
            slope = float((loss(*up) - loss(*down)).detach()) / (2 * step)
            size = float(gradient.norm() * way.norm())
            assert size > 0
            assert float((gradient * way).sum()) == pytest.approx(slope, abs=2e-3 * size)


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
@pytest.mark.parametrize("name", CELLS)
def test_cells(name: str, encoding: str) -> None:
    """Draws are fixed by the chip's seed, so a read is a function of the conductance targets."""
    one = case("matrix", encoding, dac=Dac(), adc=None, **CELLS[name])
    planes = inner_planes(one.program)
    assert_finite_differences(one.program, one.x, planes, 0.02, at_s=1e4)


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
@pytest.mark.parametrize("kind", ["matrix", "groups"])
@pytest.mark.parametrize("name", READS)
def test_reads(name: str, kind: str, encoding: str) -> None:
    """The spread of what is random has a derivative, by the input and by the cells."""
    one = case(kind, encoding, dac=replace(SIGNED, bits=None), adc=None, **READS[name])
    planes = inner_planes(one.program)
    # No drive near 0, where the derivative of a spread jumps.
    x = one.x.clamp(-1.5, 1.5) + 0.3 * one.x.sign()
    assert_finite_differences(one.program, x, planes, 5e-3, at_s=1e4)


def test_no_spread_no_derivative() -> None:
    """Word lines that are not driven and cells at 0 make no noise, and no NaN either."""
    noise = {"sigma_relative": 0.2, "one_over_f": {"amplitude": 0.05, "exponent": 0.5}}
    more = {**CELLS["both wires"], **CELLS["lines"], "noise.read": noise}
    one = case("matrix", "differential-pair", dac=Dac(), adc=None, **more)
    planes = [torch.zeros_like(p).requires_grad_() for p in one.program.layers["w"].cells.planes]
    x = torch.zeros_like(one.x).requires_grad_()
    y = run(one.program, x, planes={"w": planes}, reader=read_of, at_s=1e4)
    for gradient_of in torch.autograd.grad(y.sum(), (x, *planes)):
        assert bool(torch.isfinite(gradient_of).all())


def plain(one: Case, x: Tensor, weight: Tensor) -> Tensor:
    """The operator without a device."""
    (operation,) = one.program.operations
    operands = [x if reference == "%x" else weight for reference in operation.inputs]
    result: Tensor = OPERATORS[operation.op].function(*operands, **operation.attributes)
    return result


@pytest.mark.parametrize(("drive", "signed"), list(itertools.product(DRIVES, SIGNED_INPUTS)))
@pytest.mark.parametrize(("kind", "weights"), KINDS_AND_WEIGHTS)
def test_straight_through_is_the_plain_layer(
    kind: str, weights: str, drive: str, signed: str
) -> None:
    """What is linear but for rounding has the gradient of the layer without a device."""
    one = case(kind, weights, drive, signed, adc=None)
    layer = one.program.layers["w"]
    lanes = {"after-adc": 2, "digital": 3}.get(weights, 1)
    wide = Adc(16, torch.full((len(layer.row_tiles), lanes, 1), 2000.0))
    layer = replace(layer, uses=(replace(layer.uses[0], adc=wide),))
    one = replace(one, program=replace(one.program, layers={"w": layer}))
    x = one.x.clamp(-1.9, 1.9).requires_grad_()
    planes = [p.clone().requires_grad_() for p in layer.cells.planes]
    y = run(one.program, x, planes={"w": planes}, reader=read_of, mode="noise-free")
    draw = torch.Generator().manual_seed(8)
    out = torch.empty(y.shape).normal_(generator=draw)
    gx, *gp = torch.autograd.grad(y, [x, *planes], out)

    weight = layer.geometry.from_matrix(stored(layer), weight_shape(layer)).requires_grad_()
    codes = (x.detach() * 7.5).round() / 7.5
    codes.requires_grad_()
    ex, ew = torch.autograd.grad(plain(one, codes, weight), [codes, weight], out)
    close(gx, ex)
    # The plane whose conductance adds to the weight, per unit of weight.
    gain = float(layer.cells.gain)
    top = gp[-1] if weights in ("digital", "conductance") else gp[0]
    close(top, layer.geometry.to_matrix(ew) * gain)


def stored(layer: ProgramLayer) -> Tensor:
    """The matrices that the cells stand for."""
    cells = layer.cells
    if layer.encoding == "differential-pair":
        return (cells.planes[0] - cells.planes[1]) * cells.gain
    if layer.encoding == "offset-column":
        return (cells.planes[0] - cells.planes[1][..., :1]) * cells.gain
    factors = [1.0] * 3 if cells.multipliers is None else cells.multipliers.tolist()
    assert cells.correction_us is not None
    parts = [f * p for f, p in zip(factors, cells.planes, strict=True)]
    return (torch.stack(parts).sum(0) + cells.correction_us) * cells.gain


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def single(dac: Dac, adc: Adc, signed: str = "bipolar") -> DeviceProgram:
    """Two cells pairs on one bit line: weights 1 and -0.5, 16 uS a unit."""
    weight = torch.tensor([[1.0], [-0.5]])
    program = one_layer("matmul", weight, Geometry("matrix", 1, 2, 1), ["n", 2], dac=dac)
    layer = program.layers["w"]
    layer = replace(layer, uses=(replace(layer.uses[0], adc=adc),))
    return replace(program, layers={"w": layer})


def gradient(program: DeviceProgram, x: Tensor, rounding: Rounding = "straight-through") -> Tensor:
    x = x.clone().requires_grad_()
    reader = partial(read_of, rounding=rounding)
    planes = [p.clone().requires_grad_() for p in program.layers["w"].cells.planes]
    y = run(program, x, planes={"w": planes}, reader=reader, mode="noise-free")
    return torch.autograd.grad(y.sum() + 0 * x.sum(), x)[0]


def test_nothing_passes_outside_the_range() -> None:
    """x_max = 2 at the DAC; at the ADC 20 uS at a drive of 1, 40 uS times unit of input."""
    dac = Dac(8, True, "static", 2.0)
    x = torch.tensor([[1.0, 0.5], [2.5, 0.5], [1.0, -2.5]])
    inside = torch.tensor([[1.0, -0.5], [0.0, -0.5], [1.0, 0.0]])
    close(gradient(single(dac, Adc()), x), inside)
    adc = Adc(8, torch.full((1, 1, 1), 12.0))
    # 16 uS * (1 * 0.5 - 0.5 * 0.25) = 6 uS; 16 - 2 = 14 uS; 8 + 8 = 16 uS.
    open_line = torch.tensor([[1.0], [0.0], [0.0]])
    close(gradient(single(dac, adc), x), inside * open_line)
    assert float(gradient(single(dac, adc), x, "zero").abs().max()) == 0.0
    assert float(gradient(single(dac, Adc()), x, "zero").abs().max()) == 0.0


def test_a_full_scale_found_at_run_time_learns_as_a_step_does() -> None:
    """``y = a + w round(b q / a) a / q``; by ``a``, ``1 + w (code / q - b / a)``, as in LSQ."""
    q, a, b = 7, 1.3, 0.81
    found = gradient(single(Dac(4, True, "dynamic"), Adc()), torch.tensor([[a, b]]))
    code = round(b * q / a)
    expected = torch.tensor([[1 - 0.5 * (code / q - b / a), -0.5]])
    close(found, expected)
    exact = single(Dac(None, True, "dynamic"), Adc(8, torch.full((1, 1, 1), 50.0)))
    close(gradient(exact, torch.tensor([[a, b]]))[:, 1:], torch.tensor([[-0.5]]))


def test_gains_and_ranges_learn() -> None:
    """``y = gain code i_max / q``; by i_max, ``gain (code - i q / i_max) / q`` if not clipped."""
    i_max = torch.full((1, 1, 1), 12.0, requires_grad=True)
    program = single(Dac(None, True, "static", 1.0), Adc(5, i_max))
    layer = program.layers["w"]
    gain = layer.cells.gain.clone().requires_grad_()
    learned = replace(layer, cells=replace(layer.cells, gain=gain))
    program = replace(program, layers={"w": learned})
    for x, clipped in ((0.43, False), (0.9, True)):
        y = run(program, torch.tensor([[x, 0.0]]), reader=read_of, mode="noise-free")
        by_gain, by_range = torch.autograd.grad(y.sum(), (gain, i_max))
        current, q = 16 * x, 15
        code = min(q, round(current * q / 12))
        assert float(by_gain.detach()) == pytest.approx(code * 12 / q, rel=1e-5)
        step = code if clipped else code - current * q / 12
        assert float(by_range) == pytest.approx(float(layer.cells.gain) * step / q, rel=1e-3)
