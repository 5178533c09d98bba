from __future__ import annotations

from typing import Literal

import pytest
from torch import Tensor

from cimc.errors import ProgramError
from cimc.ops.table import OPERATORS
from cimc.program.check_signature import attribute_types, check_attributes, fits, operand_bounds


def operator(
    x: Tensor,
    y: Tensor | None = None,
    *,
    axis: int,
    pads: list[int] | None = None,
    mode: Literal["a", "b"] = "a",
    keep: bool = False,
) -> Tensor:
    return x


def variadic(*tensors: Tensor, axis: int = 0) -> Tensor:
    return tensors[axis]


@pytest.mark.parametrize(
    ("value", "wanted", "good"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        ("1", int, False),
        (1, float, True),
        (1.5, float, True),
        (True, float, False),
        (1, bool, True),
        (2, bool, False),
        (False, bool, True),
        (1.0, bool, False),
        (None, int, False),
        (None, int | None, True),
        (None, None, True),
        ([1, 2], list[int], True),
        ((1, 2), list[int], True),
        ([1, "2"], list[int], False),
        ("12", list[str], False),
        ([1, 2], tuple[int, ...], True),
        ([1, 2], tuple[int, int], True),
        ([1], tuple[int, int], False),
        ([[1], []], list[list[int]], True),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ({}, int | str, False),
    ],
)
def test_fits(value, wanted, good):
    assert fits(value, wanted) is good


def test_operand_bounds():
    assert operand_bounds(operator) == (1, 2)
    assert operand_bounds(variadic) == (0, None)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "'axis' is missing"),
        ({"axis": 1, "other": 1}, "no attribute 'other'"),
        ({"axis": 1, "x": 1}, "no attribute 'x'"),
        ({"axis": "1"}, "'axis' should be int"),
        ({"axis": 1, "mode": "z"}, "'mode' should be"),
    ],
)
def test_attributes_refused(attributes, message):
    with pytest.raises(ProgramError, match=message):
        check_attributes(operator, attributes, "w")


def test_attributes_accepted():
    check_attributes(operator, {"axis": 1, "pads": [0, 1], "keep": 1, "mode": "b"}, "w")


def test_every_operator_of_the_table_has_types_that_can_be_checked():
    for spec in OPERATORS.values():
        operand_bounds(spec.function)
        for name, (wanted, _) in attribute_types(spec.function).items():
            assert not isinstance(wanted, str), (spec.name, name)
            fits(None, wanted)
            fits([[1.5]], wanted)
