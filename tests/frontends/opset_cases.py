"""Cases for every form an operator had since opset 7: attributes, inputs, first and last opset."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.frontends.single_node import Array

NEWEST = 24  # of onnxruntime's CPU kernels


def f(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    """Return uniform floats."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def i(*values: int) -> Array:
    """Return a vector of int64."""
    return np.array(values, np.int64)


X4 = f(2, 4, 7, 6)
CASES: list[tuple[str, dict[str, Any], list[Array | None], tuple[int, ...], int, int]] = [
    # operator, attributes, inputs, which are constants, first and last opset
    *(
        (name, {}, [f(3, 4, low=0.1, high=0.9)], (), 7, NEWEST)
        for name in [
            "Abs",
            "Acos",
            "Asin",
            "Atan",
            "Ceil",
            "Cos",
            "Elu",
            "Exp",
            "Floor",
            "HardSigmoid",
            "Identity",
            "LeakyRelu",
            "Log",
            "Neg",
            "Reciprocal",
            "Relu",
            "Selu",
            "Sigmoid",
            "Sin",
            "Softplus",
            "Softsign",
            "Sqrt",
            "Tan",
            "Tanh",
        ]
    ),
    *(
        (name, {}, [f(3, 4, low=0.1, high=0.9)], (), 9, NEWEST)
        for name in [
            "Acosh",
            "Asinh",
            "Atanh",
            "Cosh",
            "Erf",
            "IsNaN",
            "Shrink",
            "Sign",
            "Sinh",
            "ThresholdedRelu",
        ]
        if name != "ThresholdedRelu" and name != "Acosh"
    ),
    ("Acosh", {}, [f(3, low=1.5)], (), 9, NEWEST),
    ("ThresholdedRelu", {"alpha": 0.3}, [f(3, 4)], (), 10, NEWEST),
    ("Round", {}, [f(3, 4) * 3], (), 11, NEWEST),
    ("IsInf", {"detect_negative": 0}, [np.array([1, np.inf, -np.inf], "f4")], (), 10, NEWEST),
    ("Celu", {"alpha": 0.7}, [f(3, 4)], (), 12, NEWEST),
    ("HardSwish", {}, [f(3, 4) * 3], (), 14, NEWEST),
    ("Mish", {}, [f(3, 4)], (), 18, NEWEST),
    ("Gelu", {"approximate": "tanh"}, [f(3, 4)], (), 20, NEWEST),
    ("Gelu", {}, [f(3, 4)], (), 20, NEWEST),
    ("Shrink", {"bias": 0.3, "lambd": 0.7}, [f(3, 4)], (), 9, NEWEST),
    ("PRelu", {}, [f(2, 3, 4), f(3, 1, seed=1)], (1,), 7, NEWEST),
    *((name, {}, [f(2, 3, 4), f(3, 1, seed=1)], (), 7, NEWEST) for name in ("Add", "Sub", "Mul")),
    ("Div", {}, [i(7, -7, 7, -7), i(2, 2, -2, -2)], (), 7, NEWEST),
    ("Div", {}, [f(2, 3), f(1, seed=1)], (), 7, NEWEST),
    ("Mod", {}, [i(7, -7, 7, -7), i(3, 3, -3, -3)], (), 10, NEWEST),
    ("Mod", {"fmod": 1}, [f(5), f(5, seed=1)], (), 10, NEWEST),
    ("Pow", {}, [f(3, 4, low=0.1), f(4, seed=1)], (), 7, NEWEST),
    ("Pow", {}, [f(3, 4), i(2)], (), 12, NEWEST),
    ("Pow", {}, [i(1, 2, 3), np.array([2.0], "f4")], (), 12, NEWEST),
    *(
        (name, {}, [f(2, 3), f(3, seed=1), f(2, 1, seed=2)], (), 8, NEWEST)
        for name in ("Max", "Min", "Sum", "Mean")
    ),
    ("Max", {}, [f(2, 3), f(2, 3, seed=1)], (), 7, 7),
    *((name, {}, [f(2, 3), f(3, seed=1)], (), 9, NEWEST) for name in ("Greater", "Less")),
    *((name, {}, [f(2, 3), f(3, seed=1)], (), 7, 8) for name in ("Greater", "Less")),
    *(
        (name, {}, [f(2, 3), f(2, 3)], (), 12, NEWEST)
        for name in ("GreaterOrEqual", "LessOrEqual")
    ),
    ("Equal", {}, [i(1, 2, 3), i(1, 0, 3)], (), 7, NEWEST),
    *((name, {}, [f(2, 3) > 0, f(3, seed=1) > 0], (), 7, NEWEST) for name in ("And", "Or", "Xor")),
    ("Not", {}, [f(2, 3) > 0], (), 7, NEWEST),
    ("Where", {}, [f(2, 1) > 0, f(2, 3), f(3, seed=1)], (), 9, NEWEST),
    ("Clip", {"min": -0.5, "max": 0.5}, [f(3, 4)], (), 7, 10),
    ("Clip", {"max": 0.5}, [f(3, 4)], (), 7, 10),
    ("Clip", {}, [f(3, 4), np.float32(-0.5).reshape(()), None], (1,), 11, NEWEST),
    ("Clip", {}, [f(3, 4), None, np.array(0.5, "f4")], (2,), 11, NEWEST),
    ("Clip", {}, [i(1, 5, 9), np.array(2), np.array(6)], (), 12, NEWEST),
    *(
        (name, attributes, [f(2, 3, 4)], (), 7, NEWEST)
        for name in ("Softmax", "LogSoftmax", "Hardmax")
        for attributes in ({}, {"axis": 0}, {"axis": 2}, {"axis": 1})
    ),
    ("Softmax", {"axis": -2}, [f(2, 3, 4)], (), 11, NEWEST),
    # -- layers ---------------------------------------------------------------------------
    ("Conv", {}, [X4, f(5, 4, 3, 3, seed=1)], (1,), 7, NEWEST),
    (
        "Conv",
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        [X4, f(5, 4, 2, 3), f(5)],
        (1, 2),
        7,
        11,
    ),
    ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 1]}, [X4, f(5, 4, 2, 2)], (1,), 7, NEWEST),
    ("Conv", {"auto_pad": "VALID", "dilations": [2, 1]}, [X4, f(5, 4, 2, 3)], (1,), 7, NEWEST),
    ("Conv", {"pads": [1, 0, 2, 3], "group": 2}, [X4, f(6, 2, 3, 3), f(6)], (1, 2), 7, NEWEST),
    ("Conv", {"group": 4, "kernel_shape": [3, 3]}, [X4, f(4, 1, 3, 3)], (1,), 7, NEWEST),
    ("Conv", {"pads": [2, 1]}, [f(2, 3, 9), f(4, 3, 4)], (1,), 7, NEWEST),
    ("Conv", {"pads": [1, 1, 1, 1, 1, 1]}, [f(1, 2, 4, 5, 6), f(3, 2, 3, 3, 3)], (1,), 7, NEWEST),
    (
        "ConvTranspose",
        {"strides": [2, 3], "output_padding": [1, 2]},
        [X4, f(4, 3, 3, 3), f(3)],
        (1, 2),
        7,
        NEWEST,
    ),
    (
        "ConvTranspose",
        {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 2]},
        [X4, f(4, 3, 3, 3)],
        (1,),
        7,
        NEWEST,
    ),
    (
        "ConvTranspose",
        {"strides": [2, 2], "output_shape": [14, 13]},
        [X4, f(4, 3, 3, 3)],
        (1,),
        7,
        NEWEST,
    ),
    (
        "ConvTranspose",
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        [X4, f(4, 3, 3, 3)],
        (1,),
        11,
        NEWEST,
    ),
    (
        "ConvTranspose",
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        [X4, f(4, 3, 3, 3)],
        (1,),
        11,
        NEWEST,
    ),
    ("ConvTranspose", {"dilations": [2]}, [f(1, 3, 5), f(3, 2, 3)], (1,), 7, NEWEST),
    ("Gemm", {"alpha": 0.5, "beta": 2.0, "transA": 1}, [f(4, 3), f(4, 5), f(5)], (1,), 7, NEWEST),
    ("Gemm", {"transB": 1}, [f(3, 4), f(5, 4), f(3, 1)], (1, 2), 7, NEWEST),
    ("Gemm", {}, [f(3, 4), f(4, 5)], (1,), 11, NEWEST),
    ("MatMul", {}, [f(2, 3, 4), f(4, 5)], (1,), 7, NEWEST),
    ("MatMul", {}, [f(4), f(2, 4, 5)], (1,), 7, NEWEST),
    ("MatMul", {}, [f(2, 1, 3, 4), f(3, 4, 2)], (), 9, NEWEST),
    (
        "BatchNormalization",
        {"epsilon": 1e-3},
        [X4, f(4), f(4), f(4), f(4, low=0.5)],
        (1, 2, 3, 4),
        7,
        NEWEST,
    ),
    ("InstanceNormalization", {}, [X4, f(4), f(4, seed=2)], (1, 2), 7, NEWEST),
    ("InstanceNormalization", {}, [f(2, 3, 2), f(3), f(3, seed=2)], (1, 2), 7, NEWEST),
    ("LayerNormalization", {"axis": -2}, [f(2, 3, 4), f(3, 4), f(3, 4, seed=1)], (1,), 17, NEWEST),
    ("LayerNormalization", {}, [f(2, 3, 4), f(4)], (1,), 17, NEWEST),
    ("GroupNormalization", {"num_groups": 2}, [X4, f(4), f(4)], (1, 2), 21, NEWEST),
    ("GroupNormalization", {"num_groups": 2}, [X4, f(2), f(2)], (1, 2), 18, 20),
    ("RMSNormalization", {}, [f(2, 3, 4), f(4)], (1,), 23, NEWEST),
    ("LpNormalization", {"p": 1, "axis": 1}, [f(2, 3, 4)], (), 7, NEWEST),
    ("LpNormalization", {}, [f(2, 3, 4)], (), 7, NEWEST),
    ("LRN", {"size": 3, "alpha": 0.1, "beta": 0.6, "bias": 2.0}, [X4], (), 7, NEWEST),
    ("LRN", {"size": 5}, [X4], (), 7, NEWEST),
    ("MeanVarianceNormalization", {}, [X4], (), 9, NEWEST),
    ("MeanVarianceNormalization", {"axes": [0, 1, 2, 3]}, [X4], (), 9, NEWEST),
    # -- pooling --------------------------------------------------------------------------
    *(
        (name, {"kernel_shape": [3, 2], "strides": [2, 2]} | extra, [X4], (), first, NEWEST)
        for name in ("MaxPool", "AveragePool")
        for extra, first in (
            ({}, 7),
            ({"pads": [1, 0, 1, 1]}, 7),
            ({"auto_pad": "SAME_UPPER"}, 7),
            ({"auto_pad": "SAME_LOWER"}, 7),
            ({"auto_pad": "VALID"}, 7),
            ({"ceil_mode": 1}, 10),
            ({"ceil_mode": 1, "pads": [1, 1, 1, 1]}, 10),
        )
    ),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3]}, [X4], (), 10, NEWEST),
    ("MaxPool", {"kernel_shape": [2]}, [f(1, 2, 9)], (), 7, NEWEST),
    ("MaxPool", {"kernel_shape": [2, 2, 2]}, [f(1, 2, 4, 4, 4)], (), 7, NEWEST),
    (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        [X4],
        (),
        7,
        NEWEST,
    ),
    ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, [X4], (), 19, NEWEST),
    ("LpPool", {"kernel_shape": [3, 2], "strides": [2, 2], "p": 3}, [X4], (), 7, NEWEST),
    ("LpPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}, [X4], (), 7, NEWEST),
    *((name, {}, [X4], (), 7, NEWEST) for name in ("GlobalAveragePool", "GlobalMaxPool")),
    ("GlobalLpPool", {}, [X4], (), 7, 21),
    # -- shapes ---------------------------------------------------------------------------
    ("Reshape", {}, [X4, i(0, -1, 6)], (1,), 7, NEWEST),
    ("Reshape", {"allowzero": 1}, [f(0, 3), i(3, 0)], (1,), 14, NEWEST),
    ("Transpose", {"perm": [0, 2, 3, 1]}, [X4], (), 7, NEWEST),
    ("Transpose", {}, [X4], (), 7, NEWEST),
    ("Flatten", {"axis": 0}, [X4], (), 7, NEWEST),
    ("Flatten", {"axis": -1}, [X4], (), 11, NEWEST),
    ("Squeeze", {"axes": [0, 2]}, [f(1, 3, 1, 4)], (), 7, 12),
    ("Squeeze", {}, [f(1, 3, 1, 4)], (), 7, NEWEST),
    ("Squeeze", {}, [f(1, 3, 1, 4), i(-2)], (1,), 13, NEWEST),
    ("Unsqueeze", {"axes": [0, 3]}, [f(3, 4)], (), 7, 12),
    ("Unsqueeze", {}, [f(3, 4), i(-1, 0)], (1,), 13, NEWEST),
    ("Concat", {"axis": 1}, [f(2, 3), f(2, 1), f(2, 0)], (), 7, NEWEST),
    ("Concat", {"axis": -1}, [f(2, 3), f(2, 1)], (), 11, NEWEST),
    ("Slice", {"starts": [1, -3], "ends": [9, -1], "axes": [1, 2]}, [X4], (), 7, 9),
    ("Slice", {"starts": [1], "ends": [2]}, [X4], (), 7, 9),
    ("Slice", {}, [X4, i(-1, 5), i(-(2**62), 0), i(1, -1), i(-2, -1)], (1, 2, 3, 4), 10, NEWEST),
    ("Slice", {}, [X4, i(1), i(2**62)], (1, 2), 10, NEWEST),
    ("Gather", {"axis": 1}, [f(2, 5, 3), np.array([[0, -1], [2, 2]])], (1,), 11, NEWEST),
    ("Gather", {}, [f(5, 3), np.array(2)], (1,), 7, NEWEST),
    ("GatherElements", {"axis": 1}, [f(2, 5), np.array([[0, -1], [2, 2]])], (1,), 11, NEWEST),
    ("GatherND", {}, [f(2, 5, 3), np.array([[0, 1], [-1, 2]])], (1,), 11, NEWEST),
    ("GatherND", {"batch_dims": 1}, [f(2, 5, 3), np.array([[1], [-2]])], (1,), 12, NEWEST),
    ("Expand", {}, [f(3, 1), i(2, 1, 4)], (1,), 8, NEWEST),
    ("Tile", {}, [f(3, 2), i(2, 3)], (1,), 7, NEWEST),
    *(
        ("Pad", {"pads": [0, 2, 1, 0, 1, 2], "mode": mode}, [f(2, 3, 4)], (), 7, 10)
        for mode in ("constant", "reflect", "edge")
    ),
    ("Pad", {"pads": [0, -1, 0, 2], "value": 1.5}, [f(3, 4)], (), 7, 10),
    *(
        ("Pad", {"mode": mode}, [f(2, 3, 4), i(0, 2, 1, 0, 1, 2)], (1,), 11, NEWEST)
        for mode in ("constant", "reflect", "edge")
    ),
    ("Pad", {}, [f(3, 4), i(0, -1, 1, 2), np.array(1.5, "f4")], (1, 2), 11, NEWEST),
    ("Pad", {}, [f(3, 4), i(1, 2), None, i(-1)], (1, 3), 18, NEWEST),
    ("Pad", {"mode": "wrap"}, [f(3, 4), i(1, 2, 1, 1)], (1,), 19, NEWEST),
    ("Shape", {}, [X4], (), 7, NEWEST),
    ("Shape", {"start": 1, "end": -1}, [X4], (), 15, NEWEST),
    ("Size", {}, [X4], (), 7, NEWEST),
    ("Range", {}, [np.array(1), np.array(9), np.array(3)], (), 11, NEWEST),
    ("Range", {}, [np.array(1, "f4"), np.array(-0.2, "f4"), np.array(-0.3, "f4")], (), 11, NEWEST),
    ("DepthToSpace", {"blocksize": 2}, [f(1, 8, 2, 3)], (), 7, NEWEST),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, [f(1, 8, 2, 3)], (), 11, NEWEST),
    ("SpaceToDepth", {"blocksize": 2}, [f(1, 2, 4, 6)], (), 7, NEWEST),
    ("Cast", {"to": 7}, [f(3, 4) * 3], (), 7, NEWEST),
    ("Cast", {"to": 9}, [f(3, 4).round()], (), 7, NEWEST),
    ("Cast", {"to": 10}, [f(3, 4)], (), 7, NEWEST),
    ("CastLike", {}, [f(3, 4) * 3, i(1)], (), 15, NEWEST),
    ("Dropout", {}, [f(3, 4)], (), 7, NEWEST),
    ("ConstantOfShape", {}, [i(2, 3)], (0,), 9, NEWEST),
    # -- reductions -----------------------------------------------------------------------
    *(
        (name, attributes, [f(2, 3, 4, low=0.1)], (), 7, 12)
        for name in [
            "ReduceSum",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        ]
        for attributes in ({}, {"axes": [0, 2], "keepdims": 0}, {"axes": [1]})
    ),
    *(
        (name, {"axes": [-1]}, [f(2, 3, 4, low=0.1)], (), 13, 17)
        for name in [
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        ]
    ),
    *(
        (name, attributes, inputs, (1,) if len(inputs) > 1 else (), 18, NEWEST)
        for name in [
            "ReduceSum",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        ]
        for attributes, inputs in (
            ({}, [f(2, 3, 4, low=0.1)]),
            ({"keepdims": 0}, [f(2, 3, 4, low=0.1), i(-1, 0)]),
            ({}, [f(2, 3, 4, low=0.1), np.zeros(0, np.int64)]),
        )
    ),
    ("ReduceSum", {"noop_with_empty_axes": 1}, [f(2, 3), np.zeros(0, np.int64)], (1,), 13, NEWEST),
    ("ReduceSum", {}, [i(1, 2, 3)], (), 13, NEWEST),
    ("ReduceMean", {}, [i(1, 2, -6)], (), 18, NEWEST),
    *(
        (name, attributes, [np.array([[1, 3, 3], [2, 2, 0]], "f4")], (), 12, NEWEST)
        for name in ("ArgMax", "ArgMin")
        for attributes in ({}, {"axis": -1, "keepdims": 0}, {"axis": 1, "select_last_index": 1})
    ),
]
