"""Random attributes and shapes of the operators with windows and indices, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cimc.errors import ModelError
from cimc.frontends import import_onnx
from tests.frontends.single_node import Array, agrees, model, opaque

SETTINGS = settings(max_examples=15, deadline=None, derandomize=True)
AUTO_PAD = st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])


def values(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def per_axis(draw: Any, n: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))


def check(made: Any, feeds: list[Array]) -> None:
    """Compare with onnxruntime where onnxruntime takes the attributes at all."""
    try:
        import_onnx(made).source.oracle({f"x{k}": feed for k, feed in enumerate(feeds)})
    except ModelError:
        assume(False)
    agrees(made, feeds, native=not opaque(import_onnx(made)))


@SETTINGS
@given(st.data())
def test_conv(data: st.DataObject) -> None:
    draw = data.draw
    n, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = per_axis(draw, n, 1, 4)
    auto = draw(AUTO_PAD)
    attributes: dict[str, Any] = {
        "strides": per_axis(draw, n, 1, 3),
        "group": group,
        "auto_pad": auto,
    }
    dilations = per_axis(draw, n, 1, 2)
    if auto in ("NOTSET", "VALID"):
        attributes["dilations"] = dilations
    if auto == "NOTSET":
        attributes["pads"] = per_axis(draw, 2 * n, 0, 3)
    spatial = [draw(st.integers(7, 9)) for _ in range(n)]
    x = values((draw(st.integers(1, 2)), 2 * group, *spatial))
    w = values((group * draw(st.integers(1, 2)), 2, *kernel), 1)
    check(model("Conv", [x, w], 17, constants=(1,), **attributes), [x])


@SETTINGS
@given(st.data())
def test_conv_transpose(data: st.DataObject) -> None:
    draw = data.draw
    n, group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kernel, strides = per_axis(draw, n, 1, 4), per_axis(draw, n, 1, 3)
    attributes: dict[str, Any] = {"strides": strides, "group": group}
    form = draw(st.sampled_from(["pads", "output_shape", "SAME_UPPER", "SAME_LOWER"]))
    spatial = [draw(st.integers(3, 5)) for _ in range(n)]
    if form == "pads":
        attributes["dilations"] = per_axis(draw, n, 1, 2)
        attributes["output_padding"] = [draw(st.integers(0, s - 1)) for s in strides]
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    elif form == "output_shape":
        attributes["output_shape"] = [
            max((size - 1) * s + k - draw(st.integers(0, k)), 1)
            for size, s, k in zip(spatial, strides, kernel, strict=True)
        ]
    else:
        attributes["auto_pad"] = form
    x = values((draw(st.integers(1, 2)), 2 * group, *spatial))
    w = values((2 * group, draw(st.integers(1, 2)), *kernel), 1)
    check(model("ConvTranspose", [x, w], 17, constants=(1,), **attributes), [x])


@SETTINGS
@given(st.data(), st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
def test_pooling(data: st.DataObject, op_type: str) -> None:
    draw = data.draw
    n = draw(st.integers(1, 3))
    kernel = per_axis(draw, n, 1, 4)
    auto = draw(AUTO_PAD)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": per_axis(draw, n, 1, 3),
        "auto_pad": auto,
    }
    if auto == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    if op_type == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if op_type == "MaxPool" and auto == "NOTSET":
        attributes["dilations"] = per_axis(draw, n, 1, 2)
    x = values((1, 2, *[draw(st.integers(7, 9)) for _ in range(n)]))
    check(model(op_type, [x], 19, **attributes), [x])


@SETTINGS
@given(st.data())
def test_slice(data: st.DataObject) -> None:
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    far = st.integers(-8, 8) | st.sampled_from([2**62, -(2**62)])
    k = len(axes)
    starts, ends = ([draw(far) for _ in range(k)] for _ in range(2))
    steps = [draw(st.sampled_from([-3, -2, -1, 1, 2, 3])) for _ in range(k)]
    given_axes = [a - len(shape) if draw(st.booleans()) else a for a in axes]
    operands = [np.array(v, np.int64) for v in (starts, ends, given_axes, steps)]
    x = values(shape)
    check(model("Slice", [x, *operands], 13, constants=(1, 2, 3, 4)), [x])


@SETTINGS
@given(st.data(), st.sampled_from(["constant", "reflect", "edge", "wrap"]))
def test_pad(data: st.DataObject, mode: str) -> None:
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)))
    low = -1 if mode == "constant" else 0
    pads = [draw(st.integers(low, size - 1)) for size in shape * 2]
    x = values(shape)
    operands = [np.array(pads, np.int64)]
    check(model("Pad", [x, *operands], 19, constants=(1,), mode=mode), [x])


@SETTINGS
@given(st.data())
def test_gather_and_matmul(data: st.DataObject) -> None:
    draw = data.draw
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    size = shape[axis]
    index_shape = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    index = np.random.default_rng(0).integers(-size, size, index_shape)
    x = values(shape)
    check(model("Gather", [x, index], 13, constants=(1,), axis=axis), [x])
    stack = draw(st.sampled_from([(), (1,), (2,), (3, 1), (3, 2)]))
    other = draw(st.sampled_from([(), (2,), (3, 2)]))
    a, b = values((*stack, 3, 4)), values((*other, 4, 2), 1)
    check(model("MatMul", [a, b], 13, constants=(1,)), [a])


@SETTINGS
@given(st.data())
def test_split_and_reshape(data: st.DataObject) -> None:
    draw = data.draw
    count = draw(st.integers(1, 4))
    x = values((draw(st.integers(count, 9)), 2, 3))
    check(model("Split", [x], 18, outputs=count, num_outputs=count), [x])
    wanted = draw(st.permutations([x.shape[0], 2, 3]))
    wanted = [-1 if k == 0 else n for k, n in enumerate(wanted)]
    check(model("Reshape", [x, np.array(wanted, np.int64)], 18, constants=(1,)), [x])
