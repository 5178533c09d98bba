"""The operator table: conventions every entry keeps."""

from __future__ import annotations

import inspect
import re
from typing import Any

import onnx
import pytest

from cimc.frontends.onnx_table import IMPORTERS
from cimc.ops.table import OPERATORS

ENTRIES = list(OPERATORS.items())


@pytest.mark.parametrize(("name", "spec"), ENTRIES, ids=[n for n, _ in ENTRIES])
def test_conventions(name: str, spec: Any) -> None:
    assert spec.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    parameters = inspect.signature(spec.function).parameters.values()
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
            assert parameter.default is None or isinstance(
                parameter.default, bool | int | float | str
            )
    assert spec.function.__doc__
    assert spec.function.__doc__.strip().splitlines()[0].endswith(".")
    operands = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert all(position < len(operands) for position in spec.weights)


def test_functions_are_named_module_level_functions() -> None:
    functions = [spec.function for spec in OPERATORS.values()]
    assert len(set(functions)) == len(functions)
    for function in functions:
        module = inspect.getmodule(function)
        assert getattr(module, function.__name__) is function


def test_onnx_operators_exist_and_are_many() -> None:
    known = {(s.domain, s.name) for s in onnx.defs.get_all_schemas_with_history()}
    standard = {(s.domain, s.onnx) for s in OPERATORS.values() if s.onnx}
    assert {key for key in standard if key[0] == ""} <= known
    native = [key for key in IMPORTERS if key in known]
    assert len(native) >= 100


def test_weights_of_the_weight_carrying_operators() -> None:
    carriers = {name: spec.weights for name, spec in OPERATORS.items() if spec.weights}
    assert carriers == {
        "conv": (1,),
        "conv_transpose": (1,),
        "matmul": (1, 0),
        "gemm": (1,),
        "lstm": (1, 2),
        "gru": (1, 2),
        "rnn": (1, 2),
    }
