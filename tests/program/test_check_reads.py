from __future__ import annotations

import pytest

from cimc.ir.geometry import Geometry
from cimc.program.check_reads import _problem
from cimc.program.model import Operation

CONV = Geometry("conv", 2, 18, 5, (3, 3))
LSTM = Geometry("recurrent", 2, 7, 20)


def problem(op, position, geometry, **attributes):
    return _problem(Operation("n", op, (), attributes, ("y",)), position, geometry)


@pytest.mark.parametrize(
    ("op", "position", "geometry", "attributes"),
    [
        ("conv", 1, CONV, {"group": 2}),
        ("conv", 1, CONV, {"group": 2, "kernel_shape": [3, 3]}),
        ("conv_transpose", 1, Geometry("conv-transpose", 1, 2, 9, (9,)), {}),
        ("gemm", 1, Geometry("matrix", 1, 2, 3), {}),
        ("gemm", 1, Geometry("matrix", 1, 2, 3, transposed=True), {"transB": True}),
        ("matmul", 1, Geometry("matrix", 6, 2, 3, stack=(2, 3)), {}),
        ("matmul", 0, Geometry("matrix-left", 1, 2, 3), {}),
        ("lstm", 1, LSTM, {"hidden_size": 5, "direction": "bidirectional"}),
        ("gru", 2, Geometry("recurrent", 1, 5, 15), {"hidden_size": 5, "direction": "reverse"}),
        ("rnn", 1, Geometry("recurrent", 1, 9, 5), {"hidden_size": 5}),
    ],
)
def test_agreeing(op, position, geometry, attributes):
    assert problem(op, position, geometry, **attributes) == ""


@pytest.mark.parametrize(
    ("op", "position", "geometry", "attributes", "message"),
    [
        ("conv", 1, CONV, {}, "groups is 2, not 1"),
        ("conv", 1, CONV, {"group": 2, "kernel_shape": [9]}, "kernel is"),
        ("conv", 0, CONV, {"group": 2}, "cannot be operand 0"),
        ("relu", 0, CONV, {}, "cannot be operand 0"),
        ("gemm", 1, Geometry("matrix", 1, 2, 3), {"transB": True}, "transposed is False"),
        ("gemm", 1, Geometry("matrix", 4, 2, 3, stack=(4,)), {}, "stack is (4,)"),
        ("matmul", 0, Geometry("matrix", 1, 2, 3), {}, "cannot be operand 0"),
        ("matmul", 1, Geometry("matrix", 1, 2, 3, transposed=True), {}, "transposed is True"),
        ("lstm", 1, LSTM, {"hidden_size": 5}, "groups is 2, not 1"),
        ("gru", 1, LSTM, {"hidden_size": 5, "direction": "bidirectional"}, "columns is 20"),
        (
            *("lstm", 2, LSTM),
            {"hidden_size": 5, "direction": "bidirectional"},
            "rows is 7, not 5",
        ),
    ],
)
def test_disagreeing(op, position, geometry, attributes, message):
    assert message in problem(op, position, geometry, **attributes)
