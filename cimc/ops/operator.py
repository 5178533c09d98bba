"""What the table says of one operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the IR.

    Attributes:
        name: Key in the table; the ONNX name in snake_case.
        function: Does the work.  Tensor operands are positional, attributes keyword-only literals.
        onnx: ONNX operator whose newest version it implements; None when it has no such operator.
        weights: Operand positions that may be stationary on a crossbar, the likelier first.
        outputs: 1: returns a tensor; n > 1: a tuple of n tensors; None: a tuple whose length
            depends on the attributes.
        domain: Domain of the ONNX operator.
    """

    name: str
    function: Callable[..., Any]
    onnx: str | None = None
    weights: tuple[int, ...] = ()
    outputs: int | None = 1
    domain: str = ""
