"""The executor against a cell-by-cell calculation, over geometries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from cimc.program.model import DeviceProgram
from tests.executor import oracle
from tests.executor.programs import one_layer, quarters

DACS = {
    "static": Dac(6, True, "static", 2.0),
    "unsigned": Dac(5, False, "static", 3.0),
    "dynamic": Dac(7, True, "dynamic"),
    "none": Dac(),
}


def planes_of(program: DeviceProgram) -> list[np.ndarray]:
    return [plane.numpy() for plane in program.layers["w"].cells.planes]


def samples(shape: tuple[int, ...], seed: int, *, exact: bool) -> np.ndarray:
    """Inputs; ``exact``: whole multiples of 1/8, so that products without DAC are exact too."""
    x = np.random.default_rng(seed).normal(0, 1.2, shape).astype(np.float32)
    return np.round(x * 8) / np.float32(8) if exact else x


@st.composite
def convolutions(draw):
    n = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, columns = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(n)]
    strides = [draw(st.integers(1, 2)) for _ in range(n)]
    dilations = [draw(st.integers(1, 2)) for _ in range(n)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * n)]
    space = [
        d * (k - 1) + 1 + draw(st.integers(0, 2)) for k, d in zip(kernel, dilations, strict=True)
    ]
    return {
        "groups": groups, "channels": channels, "columns": columns, "kernel": kernel,
        "strides": strides, "dilations": dilations, "pads": pads, "space": space,
        "rows": draw(st.sampled_from([None, 2, 5, 7])),
        "dac": draw(st.sampled_from(sorted(DACS))),
        "adc": draw(st.sampled_from([None, 5, 8])),
        "encoding": draw(st.sampled_from(["differential-pair", "offset-column"])),
        "per_column": draw(st.booleans()),
        "seed": draw(st.integers(0, 999)),
    }  # fmt: skip


@given(case=convolutions())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_convolution(case) -> None:
    groups, kernel = case["groups"], case["kernel"]
    weight = quarters((groups * case["columns"], case["channels"], *kernel), case["seed"])
    taps = int(np.prod(kernel))
    geometry = Geometry("conv", groups, case["channels"] * taps, case["columns"], tuple(kernel))
    names = ("strides", "dilations", "pads")
    program = one_layer(
        "conv",
        weight,
        geometry,
        ["n", groups * case["channels"], *case["space"]],
        attributes={"group": groups, **{k: case[k] for k in names}},
        dac=DACS[case["dac"]],
        adc_bits=case["adc"],
        i_max_us=[20.0, 31.0, 44.0] * 20,
        rows=case["rows"],
        columns=2,
        encoding=case["encoding"],
        per_column=case["per_column"],
    )
    shape = (2, groups * case["channels"], *case["space"])
    x = samples(shape, case["seed"], exact=case["dac"] == "none")

    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]

    expected = oracle.convolution(
        x, program.layers["w"], planes_of(program), *(case[k] for k in names)
    )
    _assert_same(y, expected, program)


def _assert_same(y: np.ndarray, expected: np.ndarray, program: DeviceProgram) -> None:
    """Equal up to float32; a current on a code boundary may fall on the other side."""
    assert y.dtype == np.float32
    assert y.shape == expected.shape
    scale = np.abs(expected).max(initial=1e-6)
    wrong = np.abs(y - expected) > 2e-5 * scale
    exact = program.layers["w"].cells.gain.numel() == 1
    assert wrong.mean() <= (0.0 if exact else 0.02), (y - expected)[wrong]


@pytest.mark.parametrize("dac", sorted(DACS))
@pytest.mark.parametrize(("groups", "rows", "adc"), [(1, None, 8), (2, 3, 8), (1, 2, None)])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolution(n: int, groups: int, rows: int | None, adc, dac: str) -> None:
    kernel, strides, dilations = [3, 2, 2][:n], [2, 1, 3][:n], [1, 2, 1][:n]
    channels, columns = 4, 2
    weight = quarters((groups * channels, columns, *kernel), 3)
    taps = int(np.prod(kernel))
    geometry = Geometry("conv-transpose", groups, channels, columns * taps, tuple(kernel))
    bias = torch.arange(groups * columns, dtype=torch.float32)
    program = one_layer(
        "conv_transpose",
        weight,
        geometry,
        ["n", groups * channels, *[3] * n],
        attributes={"group": groups, "strides": strides, "dilations": dilations},
        bias=bias,
        dac=DACS[dac],
        adc_bits=adc,
        i_max_us=[17.0, 23.0, 9.0],
        rows=rows,
    )
    x = samples((2, groups * channels, *[3] * n), 5, exact=dac == "none")

    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]

    expected = oracle.transposed_convolution(
        x, program.layers["w"], planes_of(program), strides, dilations
    )
    expected += bias.numpy().reshape(1, -1, *[1] * n)
    _assert_same(y, expected, program)


def rows_through(program: DeviceProgram, x: np.ndarray, group: int = 0) -> np.ndarray:
    """Input vectors along the last axis of ``x``, samples along the first."""
    layer = program.layers["w"]
    codes, unit = oracle.dac(x, layer)
    flat = codes.reshape(-1, codes.shape[-1])
    y = np.stack([oracle.multiply(v, layer, planes_of(program), group) for v in flat])
    return y.reshape(*x.shape[:-1], -1) * unit


@pytest.mark.parametrize("dac", sorted(DACS))
@pytest.mark.parametrize("rows", [None, 5, 4])
@pytest.mark.parametrize("shape", [(3, 11), (2, 3, 11)])
def test_matmul_by_a_constant(shape: tuple[int, ...], rows: int | None, dac: str) -> None:
    weight = quarters((11, 6), 1)
    program = one_layer(
        "matmul", weight, Geometry("matrix", 1, 11, 6), ["n", *shape[1:]],
        dac=DACS[dac], adc_bits=7, i_max_us=[30.0, 18.0, 25.0], rows=rows,
    )  # fmt: skip
    x = samples(shape, 2, exact=dac == "none")
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    _assert_same(y, rows_through(program, x), program)


def test_matmul_of_a_vector() -> None:
    program = one_layer(
        "matmul", quarters((11, 6), 1), Geometry("matrix", 1, 11, 6), [11],
        dac=DACS["dynamic"], adc_bits=7, rows=5,
    )  # fmt: skip
    x = samples((11,), 2, exact=False)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    _assert_same(y, rows_through(program, x[None])[0], program)


@pytest.mark.parametrize("kind", ["matrix", "matrix-left"])
def test_stacked_constants(kind: str) -> None:
    left = kind == "matrix-left"
    weight = quarters((2, 3, 4, 5), 7) if left else quarters((2, 3, 5, 4), 7)
    geometry = Geometry(kind, 6, 5, 4, stack=(2, 3))  # type: ignore[arg-type]
    program = one_layer(
        "matmul", weight, geometry, ["n", 3, 5, 5] if left else ["n", 3, 7, 5],
        dac=DACS["static"], adc_bits=8, rows=3, operand=0 if left else 1, per_column=True,
    )  # fmt: skip
    x = samples((2, 3, 5, 5) if left else (2, 3, 7, 5), 4, exact=False)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    vectors = x.swapaxes(-1, -2) if left else x
    expected = np.stack(
        [
            np.stack([rows_through(program, vectors[i, j], 3 * i + j) for j in range(3)])
            for i in range(2)
        ]
    )
    _assert_same(y, expected.swapaxes(-1, -2) if left else expected, program)


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (5,)])
def test_constant_on_the_left(shape: tuple[int, ...]) -> None:
    """A matrix on the right is one sample: its first axis runs over word lines."""
    program = one_layer(
        "matmul", quarters((3, 5), 7), Geometry("matrix-left", 1, 5, 3), list(shape),
        dac=DACS["dynamic"], adc_bits=8, rows=2, operand=0,
    )  # fmt: skip
    x = samples(shape, 4, exact=False)
    y = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    whole = x if x.ndim == 3 else x.reshape(1, 5, -1)
    expected = rows_through(program, np.ascontiguousarray(whole.swapaxes(1, 2))).swapaxes(1, 2)
    _assert_same(y, expected.reshape(y.shape), program)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0), (1.0, 0.25)])
@pytest.mark.parametrize("c_shape", [None, (), (6,), (3, 1), (3, 6)])
def test_gemm(trans_a: int, alpha: float, beta: float, c_shape) -> None:
    weight = quarters((6, 11), 1)
    c = (
        None
        if c_shape is None
        else torch.rand(c_shape, generator=torch.Generator().manual_seed(1))
    )
    program = one_layer(
        "gemm", weight, Geometry("matrix", 1, 11, 6, transposed=True),
        [11, 3] if trans_a else [3, 11],
        attributes={"alpha": alpha, "beta": beta, "transA": trans_a, "transB": 1}, bias=c,
        dac=DACS["dynamic"], adc_bits=7, rows=5,
    )  # fmt: skip
    x = samples((3, 11), 2, exact=False)
    y = Executor(program, "noise-free").run({"x": x.T if trans_a else x}).outputs["y"]
    expected = alpha * rows_through(program, x) + (0 if c is None else beta * c.numpy())
    _assert_same(y, expected, program)
