"""The cases that break other compilers: each is right, or refused with an error that names it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import cimc
from cimc.errors import FitError, ModelError
from tests.end_to_end.build import model, node, normal
from tests.zoo.task import Array, quiet_session

Case = tuple[onnx.ModelProto, dict[str, Array]]


def depthwise() -> Case:
    nodes = [node("Conv", ["x", "w", "b"], "y", group=6, pads=[1, 1, 1, 1])]
    return (
        model(nodes, {"x": ["n", 6, 9, 9]}, ["y"], {"w": normal(6, 1, 3, 3), "b": normal(6)}),
        {"x": normal(2, 6, 9, 9, seed=1)},
    )


def depthwise_with_multiplier() -> Case:
    nodes = [node("Conv", ["x", "w"], "y", group=4, strides=[2, 2])]
    return (
        model(nodes, {"x": ["n", 4, 9, 8]}, ["y"], {"w": normal(12, 1, 3, 2)}),
        {"x": normal(2, 4, 9, 8, seed=1)},
    )


def grouped() -> Case:
    nodes = [node("Conv", ["x", "w"], "y", group=3, dilations=[2, 1], pads=[2, 0, 2, 0])]
    return (
        model(nodes, {"x": ["n", 6, 9, 9]}, ["y"], {"w": normal(9, 2, 3, 3)}),
        {"x": normal(2, 6, 9, 9, seed=1)},
    )


def conv_without_attributes() -> Case:
    nodes = [node("Conv", ["x", "w"], "y")]
    return (
        model(nodes, {"x": ["n", 3, 7, 7]}, ["y"], {"w": normal(5, 3, 3, 3)}),
        {"x": normal(2, 3, 7, 7, seed=1)},
    )


def conv_1d_and_3d() -> Case:
    nodes = [
        node("Conv", ["x", "w1"], "a", pads=[1, 1]),
        node("Reshape", ["a", "shape"], "b"),
        node("Conv", ["b", "w3"], "y", strides=[1, 2, 1]),
    ]
    weights = {
        "w1": normal(4, 3, 3),
        "shape": np.array([-1, 4, 3, 4, 5], np.int64),
        "w3": normal(2, 4, 2, 2, 2),
    }
    return model(nodes, {"x": ["n", 3, 60]}, ["y"], weights), {"x": normal(2, 3, 60, seed=1)}


def selu() -> Case:
    nodes = [node("Gemm", ["x", "w"], "a"), node("Selu", ["a"], "y", alpha=1.5, gamma=1.1)]
    return (
        model(nodes, {"x": ["n", 8]}, ["y"], {"w": normal(8, 4)}),
        {"x": normal(3, 8, seed=1)},
    )


def global_pooling() -> Case:
    nodes = [
        node("Conv", ["x", "w"], "a"),
        node("GlobalAveragePool", ["a"], "b"),
        node("GlobalMaxPool", ["a"], "c"),
        node("Add", ["b", "c"], "d"),
        node("Flatten", ["d"], "y"),
    ]
    return (
        model(nodes, {"x": ["n", 2, 6, 5]}, ["y"], {"w": normal(4, 2, 2, 2)}),
        {"x": normal(3, 2, 6, 5, seed=1)},
    )


def fully_connected_first() -> Case:
    nodes = [
        node("Flatten", ["x"], "a"),
        node("Gemm", ["a", "w1", "b1"], "b", transB=1, alpha=0.5, beta=2.0),
        node("Relu", ["b"], "c"),
        node("Reshape", ["c", "shape"], "d"),
        node("Conv", ["d", "w2"], "y"),
    ]
    weights = {
        "w1": normal(36, 24),
        "b1": normal(36),
        "shape": np.array([-1, 4, 3, 3], np.int64),
        "w2": normal(2, 4, 2, 2),
    }
    return model(nodes, {"x": ["n", 2, 3, 4]}, ["y"], weights), {"x": normal(2, 2, 3, 4, seed=1)}


def asymmetric_padding() -> Case:
    nodes = [
        node("Conv", ["x", "w"], "a", pads=[0, 2, 1, 0], strides=[2, 1]),
        node("AveragePool", ["a"], "y", kernel_shape=[3, 2], pads=[1, 0, 0, 1]),
    ]
    return (
        model(nodes, {"x": ["n", 3, 8, 7]}, ["y"], {"w": normal(4, 3, 3, 3)}),
        {"x": normal(2, 3, 8, 7, seed=1)},
    )


def same_padding(where: str) -> Case:
    nodes = [
        node("Conv", ["x", "w"], "a", auto_pad=where, strides=[2, 2]),
        node("MaxPool", ["a"], "y", kernel_shape=[2, 2], auto_pad=where, strides=[2, 2]),
    ]
    return (
        model(nodes, {"x": ["n", 3, 9, 8]}, ["y"], {"w": normal(4, 3, 4, 3)}),
        {"x": normal(2, 3, 9, 8, seed=1)},
    )


def conv_transpose() -> Case:
    nodes = [
        node(
            "ConvTranspose",
            ["x", "w", "b"],
            "y",
            group=2,
            strides=[3, 2],
            output_padding=[2, 1],
            pads=[1, 0, 0, 1],
            dilations=[1, 2],
        )
    ]
    return (
        model(nodes, {"x": ["n", 4, 5, 4]}, ["y"], {"w": normal(4, 3, 3, 2), "b": normal(6)}),
        {"x": normal(2, 4, 5, 4, seed=1)},
    )


def weight_behind_operators() -> Case:
    nodes = [
        node("Cast", ["w64"], "w32", to=onnx.TensorProto.FLOAT),
        node("Reshape", ["w32", "shape"], "square"),
        node("Transpose", ["square"], "w", perm=[1, 0]),
        node("MatMul", ["x", "w"], "y"),
    ]
    weights = {
        "w64": normal(48).astype(np.float64),
        "shape": np.array([6, -1], np.int64),
    }
    return model(nodes, {"x": ["n", 8]}, ["y"], weights), {"x": normal(3, 8, seed=1)}


def weight_on_the_left() -> Case:
    nodes = [node("MatMul", ["w", "x"], "y")]
    return (
        model(nodes, {"x": ["n", 5, 3]}, ["y"], {"w": normal(4, 5)}),
        {"x": normal(2, 5, 3, seed=1)},
    )


def weight_used_three_times() -> Case:
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Tanh", ["a"], "b"),
        node("MatMul", ["b", "w"], "c"),
        node("Add", ["c", "x"], "d"),
        node("Gemm", ["d", "w"], "y", alpha=2.0),
    ]
    return (
        model(nodes, {"x": ["n", 6]}, ["y"], {"w": normal(6, 6)}),
        {"x": normal(3, 6, seed=1)},
    )


def lstm_with_everything() -> Case:
    nodes = [
        node(
            "LSTM",
            ["x", "w", "r", "b", "", "h0", "c0", "p"],
            ["y", "yh", "yc"],
            hidden_size=4,
            direction="bidirectional",
        )
    ]
    weights = {
        "w": normal(2, 16, 3),
        "r": normal(2, 16, 4, seed=2),
        "b": normal(2, 32, seed=3),
        "h0": normal(2, 2, 4, seed=4),
        "c0": normal(2, 2, 4, seed=5),
        "p": normal(2, 12, seed=6),
    }
    return (
        model(nodes, {"x": [5, 2, 3]}, ["y", "yh", "yc"], weights),
        {"x": normal(5, 2, 3, seed=1)},
    )


def all_zero_layer() -> Case:
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Add", ["a", "b"], "c"),
        node("MatMul", ["c", "v"], "y"),
    ]
    weights = {"w": np.zeros((6, 5), np.float32), "b": normal(5), "v": normal(5, 4)}
    return model(nodes, {"x": ["n", 6]}, ["y"], weights), {"x": normal(3, 6, seed=1)}


def no_samples() -> Case:
    nodes = [node("MatMul", ["x", "w"], "a"), node("Relu", ["a"], "y")]
    return (
        model(nodes, {"x": ["n", 6]}, ["y"], {"w": normal(6, 5)}),
        {"x": np.zeros((0, 6), np.float32)},
    )


CASES: dict[str, Callable[[], Case]] = {
    "depthwise": depthwise,
    "depthwise with multiplier": depthwise_with_multiplier,
    "grouped and dilated": grouped,
    "conv without attributes": conv_without_attributes,
    "conv 1-d and 3-d": conv_1d_and_3d,
    "selu": selu,
    "global pooling": global_pooling,
    "fully connected first": fully_connected_first,
    "asymmetric padding": asymmetric_padding,
    "same padding, upper": lambda: same_padding("SAME_UPPER"),
    "same padding, lower": lambda: same_padding("SAME_LOWER"),
    "transposed conv": conv_transpose,
    "weight behind cast, reshape, transpose": weight_behind_operators,
    "weight on the left": weight_on_the_left,
    "weight used three times": weight_used_three_times,
    "lstm with peepholes and state": lstm_with_everything,
    "all-zero layer": all_zero_layer,
    "no samples": no_samples,
}


def expected(case: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    """Return what onnxruntime computes."""
    session = quiet_session(case.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())
def test_on_the_ideal_target_the_case_is_exact(build: Callable[[], Case]) -> None:
    case, inputs = build()
    program = cimc.compile(case, target="ideal")
    assert program.layers, "the weight must be on a crossbar"
    got = cimc.run(program, inputs, mode="ideal")
    for name, value in expected(case, inputs).items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())
def test_with_many_levels_and_no_noise_the_case_is_near(build: Callable[[], Case]) -> None:
    """256 uniform levels through 8-bit converters: the result is the case's, not another's."""
    case, inputs = build()
    program = cimc.compile(case, target="rram", quantizer="uniform", levels=256, data=None)
    got = cimc.run(program, inputs, mode="noise-free")
    for name, value in expected(case, inputs).items():
        assert got[name].shape == value.shape
        if value.size:
            scale = np.abs(value).max()
            np.testing.assert_allclose(got[name] / scale, value / scale, atol=0.12)


def test_one_weight_used_three_times_is_programmed_once() -> None:
    case, _ = weight_used_three_times()
    program = cimc.compile(case, target="rram")
    (layer,) = program.layers.values()
    assert len(layer.uses) == 3
    assert program.arrays == 1


def batch_norm_in_training() -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w"], "a"),
        node(
            "BatchNormalization",
            ["a", "s", "b", "m", "v"],
            ["y", "m2", "v2"],
            training_mode=1,
            name="the_norm",
        ),
    ]
    ones = np.ones(4, np.float32)
    weights = {"w": normal(4, 2, 3, 3), "s": ones, "b": ones, "m": ones, "v": ones}
    return model(nodes, {"x": ["n", 2, 6, 6]}, ["y"], weights)


def test_a_batch_norm_in_training_mode_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        cimc.compile(batch_norm_in_training(), target="ideal")
    assert "the_norm" in str(caught.value)
    assert "training" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_a_number_is_refused(value: float) -> None:
    weight = normal(6, 5)
    weight[2, 3] = value
    case = model([node("MatMul", ["x", "w"], "y")], {"x": ["n", 6]}, ["y"], {"w": weight})
    with pytest.raises(ModelError) as caught:
        cimc.compile(case, target="rram")
    assert "'w'" in caught.value.message
    assert caught.value.exit_code == 3


def test_a_layer_larger_than_the_chip_is_refused_with_numbers() -> None:
    case = model(
        [node("MatMul", ["x", "big"], "y")], {"x": ["n", 2048]}, ["y"], {"big": normal(2048, 512)}
    )
    with pytest.raises(FitError) as caught:
        cimc.compile(case, target="rram-tiny")
    assert caught.value.exit_code == 5
    assert "128" in str(caught.value), "16 x 8 arrays of 128 x 128 are needed for pairs"
    assert "8" in str(caught.value)
    assert "big" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 5), (6, 0)])
def test_an_empty_layer_gives_zeros(shape: tuple[int, int]) -> None:
    case = model(
        [node("MatMul", ["x", "w"], "y")],
        {"x": ["n", shape[0]]},
        ["y"],
        {"w": np.zeros(shape, np.float32)},
    )
    inputs = {"x": np.zeros((3, shape[0]), np.float32)}
    got = cimc.run(cimc.compile(case, target="rram"), inputs, mode="ideal")["y"]
    assert got.shape == (3, shape[1])
    assert not got.any()


def test_the_oracle_is_onnxruntime() -> None:
    """The cases are judged by another program than the compiler under test."""
    assert onnxruntime.__name__ == "onnxruntime"
    assert numpy_helper.to_array(depthwise()[0].graph.initializer[0]).shape == (6, 1, 3, 3)
