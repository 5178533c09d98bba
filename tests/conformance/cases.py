"""The node cases of the onnx backend test, and the same with weights frozen to initializers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

#: Weight operands of the operators that go to crossbars, biases and states left as they are.
WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
}


@dataclass(frozen=True)
class Case:
    """One model with inputs and the outputs it must give.

    Attributes:
        name: As in the onnx package; frozen cases end in ``_frozen``.
        model: A model in memory.
        data_sets: Inputs and expected outputs, in order of the graph's.
        rtol: Relative tolerance of the onnx backend test.
        atol: Absolute tolerance of the onnx backend test.
        operator: The operator tested; of an expanded case the one it expands.
    """

    name: str
    model: onnx.ModelProto
    data_sets: tuple[tuple[list[Any], list[Any]], ...]
    rtol: float
    atol: float
    operator: str

    @property
    def float_only(self) -> bool:
        """Whether all inputs and outputs are float32 tensors."""
        values = [*self.model.graph.input, *self.model.graph.output]
        return all(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for v in values)


@cache
def node_cases() -> tuple[Case, ...]:
    """Return the node cases, in the order of the onnx package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        loaded = load_model_tests(kind="node")
    plain = {c.name: c.model.graph.node[0].op_type for c in loaded if len(c.model.graph.node) == 1}
    return tuple(
        Case(
            c.name,
            c.model,
            tuple(([_value(v) for v in i], [_value(v) for v in o]) for i, o in c.data_sets),
            c.rtol,
            c.atol,
            plain.get(c.name.split("_expanded")[0], c.model.graph.node[0].op_type),
        )
        for c in loaded
    )


def _value(value: Any) -> Any:
    """Return a value of a data set as an array, a list or None."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value if value is None or isinstance(value, np.ndarray) else np.asarray(value)


def frozen_cases() -> Iterator[Case]:
    """Yield the cases of weight-carrying operators with the weights as initializers.

    A matrix product has no weight by name: its right operand is frozen, and in a second case its
    left one.
    """
    for case in node_cases():
        if len(case.model.graph.node) != 1 or case.operator not in WEIGHTS:
            continue
        if len(case.data_sets) != 1:
            continue
        yield _frozen(case, WEIGHTS[case.operator], "frozen")
        if case.operator == "MatMul":
            yield _frozen(case, (0,), "left_frozen")


def _frozen(case: Case, positions: tuple[int, ...], suffix: str) -> Case:
    """Return a case with inputs of its node as initializers."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node = model.graph.node[0]
    names = {node.input[k] for k in positions if k < len(node.input) and node.input[k]}
    inputs, outputs = case.data_sets[0]
    values = dict(zip((i.name for i in model.graph.input), inputs, strict=True))
    kept = [i for i in model.graph.input if i.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for name in sorted(names):
        model.graph.initializer.append(numpy_helper.from_array(values[name], name))
    left = [values[i.name] for i in kept]
    return Case(
        f"{case.name}_{suffix}", model, ((left, outputs),), case.rtol, case.atol, case.operator
    )
