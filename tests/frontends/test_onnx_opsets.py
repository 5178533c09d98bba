"""Every form an operator had since opset 7, against onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from cimc.frontends import import_onnx
from tests.frontends.opset_cases import CASES, X4, f, i
from tests.frontends.single_node import Array, agrees, model, run


def versions(op_type: str, first: int, last: int) -> Iterator[int]:
    """Yield one opset a form of the operator, the newest that has it."""
    known = [
        s.since_version
        for s in onnx.defs.get_all_schemas_with_history()
        if s.name == op_type and s.domain == ""
    ]
    forms: dict[int, int] = {}
    for opset in range(first, last + 1):
        since = max((v for v in known if v <= opset), default=0)
        if since:
            forms[since] = opset
    yield from forms.values()


def _parameters() -> Iterator[Any]:
    for op_type, attributes, inputs, constants, first, last in CASES:
        for opset in versions(op_type, first, last):
            label = f"{op_type}-{opset}-{attributes}"
            yield pytest.param(op_type, attributes, inputs, constants, opset, id=label)


@pytest.mark.parametrize(
    ("op_type", "attributes", "inputs", "constants", "opset"), list(_parameters())
)
def test_agrees_with_onnxruntime(
    op_type: str,
    attributes: dict[str, Any],
    inputs: list[Array | None],
    constants: tuple[int, ...],
    opset: int,
) -> None:
    made = model(op_type, inputs, opset, constants=constants, **attributes)
    feeds = [x for k, x in enumerate(inputs) if x is not None and k not in constants]
    agrees(made, feeds)


@pytest.mark.parametrize("opset", [7, 12, 13, 17, 18, 22])
def test_split(opset: int) -> None:
    x = f(2, 6)
    sizes: Any = {"split": [2, 3, 1]} if opset < 13 else {}
    if opset < 18:
        agrees(model("Split", [x], opset, outputs=3, axis=1), [x])
    else:
        agrees(model("Split", [f(2, 7)], opset, outputs=3, axis=1, num_outputs=3), [f(2, 7)])
    inputs = [x] if opset < 13 else [x, i(2, 3, 1)]
    constants = () if opset < 13 else (1,)
    agrees(model("Split", inputs, opset, outputs=3, axis=-1, constants=constants, **sizes), [x])


@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize("extra", [{}, {"pads": [1, 0, 0, 1], "strides": [2, 1]}])
def test_max_pool_indices(storage_order: int, extra: dict[str, Any]) -> None:
    made = model(
        "MaxPool", [X4], 12, outputs=2, kernel_shape=[2, 3], storage_order=storage_order, **extra
    )
    agrees(made, [X4])


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "int8", "uint8"])
def test_element_types_stay(dtype: str) -> None:
    x = np.arange(1, 13).reshape(1, 1, 3, 4).astype(dtype)
    one = np.array(1, dtype)
    for op_type, inputs in (
        ("Add", [x, one]),
        ("Mul", [x, one]),
        ("Max", [x, one]),
        ("Transpose", [x]),
        ("Concat", [x, x]),
    ):
        attributes = {"axis": 0} if op_type == "Concat" else {}
        agrees(model(op_type, inputs, 14, **attributes), inputs)


@pytest.mark.parametrize("dtype", ["uint32", "uint64", "int64"])
def test_wide_integers(dtype: str) -> None:
    a = np.array([2**31 + 5, 7, 2**32 - 1, 3], dtype)
    b = np.array([3, 2**31 + 1, 2, 2], dtype)
    for op_type in ("Add", "Sub", "Mul", "Div", "Mod", "Less", "Greater", "Equal"):
        agrees(model(op_type, [a, b], 14), [a, b])
    network = import_onnx(model("Max", [a, b], 14))  # onnxruntime compares the low 32 bits here
    np.testing.assert_array_equal(run(network, [a, b])[0], np.maximum(a, b))


def test_dropout_mask_is_all_true() -> None:
    x = f(2, 3)
    agrees(model("Dropout", [x], 13, outputs=2), [x])


def test_layer_normalization_statistics() -> None:
    x = f(2, 3, 4)
    agrees(model("LayerNormalization", [x, f(4), f(4)], 17, outputs=3, constants=(1, 2)), [x])
