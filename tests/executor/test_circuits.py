"""Drives, signed inputs, lanes and ranges against a calculation pulse by pulse, cell by cell."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.cells import conductances_us
from cimc.executor.physics import physics_of
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.executor import circuit_oracle as oracle
from tests.executor.programs import one_layer, quarters, target

DRIVES = ("parallel", "bit-serial", "pulse-width")
SIGNED_INPUTS = ("bipolar", "two-phase", "shift")
WEIGHTS = ("differential-pair", "after-adc", "offset-column", "digital", "conductance")
SIGNED, UNSIGNED = Dac(5, True, "static", 2.0), Dac(4, False, "static", 3.0)


def device_of(weights: str, drive: str = "parallel", signed: str = "bipolar", **more) -> Target:
    """Return a target with a way of storing weights, a drive, and a way of signed inputs."""
    changes: dict[str, Any] = {"read.drive": drive, "read.signed_inputs": signed, **more}
    if weights in ("digital", "conductance"):
        slices = {"count": 3, "multipliers": weights}
        changes |= {"encoding": "bit-sliced", "slices": slices, "cell.default_levels": 8}
    elif weights == "after-adc":
        changes["pair.subtraction"] = "after-adc"
    else:
        changes["encoding"] = weights
    return target(**changes)


def lane_count(weights: str) -> int:
    return {"after-adc": 2, "digital": 3}.get(weights, 1)


def ranges(weights: str, tiles: int, columns: int, full: float) -> torch.Tensor:
    """Different ranges of every tile, lane and column (or of all columns)."""
    shape = (tiles, lane_count(weights), columns)
    count = int(np.prod(shape))
    return full * (0.75 + torch.arange(count) % 5 / 8).reshape(shape)


def program_of(
    op: str, weight: torch.Tensor, geometry: Geometry, weights: str, device: Target, dac: Dac,
    x_shape: list[Any], **options: Any,
) -> DeviceProgram:  # fmt: skip
    return one_layer(
        op, weight, geometry, x_shape, device=device, dac=dac,
        encoding=device.encoding, digital=weights == "digital", **options,
    )  # fmt: skip


def planes_of(program: DeviceProgram) -> list[np.ndarray]:
    return [plane.numpy() for plane in program.layers["w"].cells.planes]


def codes_of(x: np.ndarray, dac: Dac) -> tuple[np.ndarray, float]:
    """Codes, and what one is worth."""
    q = 2 ** (dac.bits - 1) - 1 if dac.signed else 2**dac.bits - 1
    codes = np.rint(x * np.float32(q / dac.x_max))
    return np.clip(codes, -q if dac.signed else 0, q), dac.x_max / q


def assert_same(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("adc", [None, 6])
@pytest.mark.parametrize("dac", [SIGNED, UNSIGNED])
@pytest.mark.parametrize(("drive", "signed"), list(itertools.product(DRIVES, SIGNED_INPUTS)))
@pytest.mark.parametrize("weights", WEIGHTS)
def test_matrix(weights: str, drive: str, signed: str, dac: Dac, adc: int | None) -> None:
    device = device_of(weights, drive, signed)
    unsigned = weights in ("after-adc", "digital") and (signed != "bipolar" or not dac.signed)
    program = program_of(
        "matmul", quarters((11, 6), 1), Geometry("matrix", 1, 11, 6), weights, device, dac,
        ["n", 11], adc_bits=adc, i_max_us=ranges(weights, 3, 6, 24.0),
        adc_signed=not unsigned, rows=5, columns=4, per_column=weights != "offset-column",
    )  # fmt: skip
    x = np.random.default_rng(3).normal(0, 1.2, (7, 11)).astype(np.float32)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]

    codes, unit = codes_of(x, dac)
    read = [oracle.multiply(c, program.layers["w"], planes_of(program), device) for c in codes]
    assert_same(y, np.stack(read) * unit)
    if adc is None:
        exact = Executor(program, "ideal").run({"x": (codes * unit).astype(np.float32)})
        assert_same(y, exact.outputs["y"].astype(np.float64))


@pytest.mark.parametrize(("drive", "signed"), list(itertools.product(DRIVES, SIGNED_INPUTS)))
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(groups: int, weights: str, drive: str, signed: str) -> None:
    """Row tiles that end inside a channel, padding, strides, groups."""
    device = device_of(weights, drive, signed)
    weight = quarters((groups * 3, 2, 3, 2), 2)
    program = program_of(
        "conv", weight, Geometry("conv", groups, 12, 3, (3, 2)), weights, device, SIGNED,
        ["n", groups * 2, 4, 4], adc_bits=7, i_max_us=ranges(weights, 2, groups * 3, 30.0),
        rows=8, columns=2, attributes={"group": groups, "pads": [1] * 4, "strides": [2, 2]},
    )  # fmt: skip
    x = np.random.default_rng(4).normal(0, 1.2, (2, groups * 2, 4, 4)).astype(np.float32)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]

    codes, unit = codes_of(x, SIGNED)
    layer = program.layers["w"]
    expected = oracle.convolution(codes, layer, planes_of(program), device, 1, 2)
    assert_same(y, expected * unit)


@pytest.mark.parametrize(("drive", "signed"), list(itertools.product(DRIVES, SIGNED_INPUTS)))
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", ["matrix", "matrix-left", "conv-transpose", "without samples"])
def test_other_layouts(kind: str, weights: str, drive: str, signed: str) -> None:
    """Phases cut no corners: without converters every layout gives the exact product."""
    device = device_of(weights, drive, signed)
    attributes: dict[str, Any] = {}
    op, operand, shape = "matmul", 1, [2, 3, 7, 5]
    if kind == "conv-transpose":
        op, shape = "conv_transpose", [2, 4, 3, 3]
        weight, attributes = quarters((4, 2, 2, 2), 3), {"group": 2, "strides": [2, 2]}
        geometry = Geometry("conv-transpose", 2, 2, 8, (2, 2))
    elif kind == "matrix-left":
        weight, operand, shape = quarters((3, 4, 5), 3), 0, [2, 3, 5, 6]
        geometry = Geometry("matrix-left", 3, 5, 4, stack=(3,))
    else:
        weight, geometry = quarters((3, 5, 4), 3), Geometry("matrix", 3, 5, 4, stack=(3,))
        shape = [7, 5] if kind == "without samples" else shape
    program = program_of(
        op, weight, geometry, weights, device, SIGNED, shape,
        rows=3, attributes=attributes, operand=operand,
    )  # fmt: skip
    codes = np.random.default_rng(4).integers(-15, 16, shape)
    x = (codes * (2.0 / 15)).astype(np.float32)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    exact = Executor(program, "ideal").run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, exact, rtol=0, atol=3e-6 * np.abs(exact).max())


@pytest.mark.parametrize("limit", ["STACK", "CHUNK"])
@pytest.mark.parametrize("op", ["conv", "matmul"])
def test_pieces_do_not_matter(op: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads in small pieces give the same codes; their digital sums are rounded differently."""
    device = device_of("after-adc", "bit-serial", "two-phase")
    if op == "conv":
        weight, geometry = quarters((3, 2, 3, 2), 2), Geometry("conv", 1, 12, 3, (3, 2))
    else:
        weight, geometry = quarters((11, 6), 2), Geometry("matrix", 1, 11, 6)
    shape = [2, 4, 5] if op == "conv" else [11]
    program = program_of(
        op, weight, geometry, "after-adc", device, Dac(6, True, "dynamic"), ["n", *shape],
        adc_bits=6, i_max_us=ranges("after-adc", 2, 1, 40.0), rows=8, adc_signed=False,
    )  # fmt: skip
    x = np.random.default_rng(4).normal(0, 1.2, (9, *shape)).astype(np.float32)
    whole = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    for size in (1, 100, 1000):
        monkeypatch.setattr(f"cimc.executor.read.{limit}", size)
        assert_same(Executor(program, "noise-free").run({"x": x}).outputs["y"], whole)


CURVES = {
    "sinh": {"sinh": "0.1 V"},
    "polynomial": {"polynomial": [1.0, 0.4, 0.2]},
}


def curve_of(kind: str, device: Target) -> Any:
    ratio = device.read.v_read_v / 0.1
    if kind == "sinh":
        return lambda u: math.sinh(u * ratio) / math.sinh(ratio)
    return lambda u: (u + 0.4 * u * abs(u) + 0.2 * u * abs(u) ** 2) / 1.6


@pytest.mark.parametrize("converted", [True, False])
@pytest.mark.parametrize("signed", SIGNED_INPUTS)
@pytest.mark.parametrize("kind", sorted(CURVES))
@pytest.mark.parametrize("weights", WEIGHTS)
def test_curves(weights: str, kind: str, signed: str, converted: bool) -> None:
    """Every cell through its own I-V curve; sums are not exact, so no converter follows."""
    device = device_of(weights, signed=signed, **{"cell.nonlinearity": CURVES[kind]})
    program = program_of(
        "matmul", quarters((11, 6), 1), Geometry("matrix", 1, 11, 6), weights, device, SIGNED,
        ["n", 11], rows=5, columns=4,
    )  # fmt: skip
    x = np.random.default_rng(3).normal(0, 1.2, (7, 11)).astype(np.float32)
    codes, unit = codes_of(x, SIGNED)
    effects = {"nonlinearity", "dac"} if converted else {"nonlinearity"}
    given = x if converted else (codes * unit).astype(np.float32)
    y = Executor(program, "chip", effects=frozenset(effects)).run({"x": given}).outputs["y"]
    curve, planes = curve_of(kind, device), planes_of(program)
    read = [oracle.multiply(c, program.layers["w"], planes, device, curve=curve) for c in codes]
    expected = np.stack(read) * unit
    # A correction of slices or shifts is a difference of sums a few times larger.
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_curves_of_convolutions_and_full_scale() -> None:
    """A full-scale input is right by definition; half of it gives less."""
    device = device_of("differential-pair", **{"cell.nonlinearity": CURVES["sinh"]})
    program = program_of(
        "conv", quarters((3, 2, 3, 2), 2), Geometry("conv", 1, 12, 3, (3, 2)),
        "differential-pair", device, SIGNED, ["n", 2, 4, 4], attributes={"pads": [1, 1, 1, 1]},
    )  # fmt: skip
    x = np.full((1, 2, 4, 4), 2.0, np.float32)
    ideal = Executor(program, "ideal").run({"x": x}).outputs["y"]
    y = Executor(program, "chip").run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, ideal, rtol=1e-5, atol=1e-6)
    half = Executor(program, "chip").run({"x": x * 0.4}).outputs["y"]
    share = curve_of("sinh", device)(0.4)
    np.testing.assert_allclose(half, ideal * share, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("drive", ["parallel", "bit-serial"])
def test_batches_move_currents_on_code_boundaries_only(drive: str) -> None:
    """Conductances of all float32 values: at most one code, seldom (1 of 10^5 as documented).

    6,400 outputs of 2 row tiles (times 7 phases): more than 5 of them would be 50 times the rate.
    """
    device = device_of("differential-pair", drive, **{"noise.programming": {"sigma": "1 uS"}})
    weight = quarters((64, 8, 3, 3), 5)
    program = program_of(
        "conv", weight, Geometry("conv", 1, 72, 64, (3, 3)), "differential-pair", device,
        Dac(8, True, "static", 3.0), ["n", 8, 7, 7], adc_bits=8, i_max_us=120.0, rows=45,
    )  # fmt: skip
    x = np.random.default_rng(1).normal(0, 1, (4, 8, 7, 7)).astype(np.float32)
    effects = frozenset({"dac", "adc", "programming"})
    whole, ones = (
        Executor(program, "chip", 2, batch=batch, effects=effects).run({"x": x}).outputs["y"]
        for batch in (None, 1)
    )
    layer = program.layers["w"]
    step = 120.0 / 127 * 3.0 / 127 * float(layer.cells.gain)
    moved = np.abs(whole - ones) > 1e-5 * np.abs(whole).max()
    assert moved.sum() <= 5
    assert np.abs(whole - ones).max() <= 1.001 * step * (127 if drive == "parallel" else 2**6)


def test_what_a_shift_leaves_of_cells_off_target() -> None:
    """``q sum (G - G_ideal)``, whatever the input: the shift is taken off with ideal sums."""
    noise = {"noise.programming": {"sigma": "1 uS"}}
    outputs = {}
    for signed in ("bipolar", "shift"):
        device = device_of("differential-pair", signed=signed, **noise)
        program = program_of(
            "matmul", quarters((11, 6), 1), Geometry("matrix", 1, 11, 6), "differential-pair",
            device, SIGNED, ["n", 11], rows=5,
        )  # fmt: skip
        x = np.random.default_rng(3).normal(0, 1.2, (7, 11)).astype(np.float32)
        effects = frozenset({"dac", "programming"})
        outputs[signed] = Executor(program, "chip", 5, effects=effects).run({"x": x}).outputs["y"]
    layer = program.layers["w"]
    physics = physics_of(program, "chip", effects)
    ideal = layer.cells.planes
    written = conductances_us(layer, ideal, physics, 5, {})
    off = sum(s * (w - p)[0].sum(0) for s, w, p in zip((1, -1), written, ideal, strict=True))
    expected = 15 * off.numpy() * float(layer.cells.gain) * 2.0 / 15
    left = outputs["shift"] - outputs["bipolar"]
    np.testing.assert_allclose(left, np.broadcast_to(expected, left.shape), rtol=0, atol=2e-4)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("op", ["conv", "matmul"])
def test_no_samples(op: str, drive: str) -> None:
    device = device_of("after-adc", drive, "two-phase")
    if op == "conv":
        weight, geometry = quarters((3, 2, 3, 2), 2), Geometry("conv", 1, 12, 3, (3, 2))
    else:
        weight, geometry = quarters((11, 6), 2), Geometry("matrix", 1, 11, 6)
    shape = [2, 4, 5] if op == "conv" else [11]
    program = program_of(
        op, weight, geometry, "after-adc", device, SIGNED, ["n", *shape],
        adc_bits=6, i_max_us=ranges("after-adc", 2, 1, 40.0), rows=8,
    )  # fmt: skip
    x = np.zeros((0, *shape), np.float32)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    assert y.shape == ((0, 3, 2, 4) if op == "conv" else (0, 6))
