"""Comparisons, logic and choice."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.ops.numeric import pairwise
from cimc.ops.operator import Operator


def equal(a: Tensor, b: Tensor) -> Tensor:
    """Return where a equals b, bool."""
    return pairwise(a, b, torch.eq, np.equal)


def greater(a: Tensor, b: Tensor) -> Tensor:
    """Return where a is greater than b, bool."""
    return pairwise(a, b, torch.gt, np.greater)


def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Return where a is not less than b, bool."""
    return pairwise(a, b, torch.ge, np.greater_equal)


def less(a: Tensor, b: Tensor) -> Tensor:
    """Return where a is less than b, bool."""
    return pairwise(a, b, torch.lt, np.less)


def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Return where a is not greater than b, bool."""
    return pairwise(a, b, torch.le, np.less_equal)


def logical_and(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a and b``, bool."""
    return torch.logical_and(a, b)


def logical_or(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a or b``, bool."""
    return torch.logical_or(a, b)


def logical_xor(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a xor b``, bool."""
    return torch.logical_xor(a, b)


def logical_not(x: Tensor) -> Tensor:
    """Return ``not x``, bool."""
    return torch.logical_not(x)


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return a where the condition holds, else b; all three broadcast."""
    return torch.where(condition, a, b)


def is_nan(x: Tensor) -> Tensor:
    """Return where x is NaN, bool."""
    return torch.isnan(x)


def is_inf(x: Tensor, *, detect_negative: bool = True, detect_positive: bool = True) -> Tensor:
    """Return where x is infinite, bool.

    Args:
        x: Any shape.
        detect_negative: Count minus infinity.
        detect_positive: Count plus infinity.
    """
    found = torch.zeros_like(x, dtype=torch.bool)
    if detect_positive:
        found |= torch.isposinf(x)
    if detect_negative:
        found |= torch.isneginf(x)
    return found


OPERATORS: Final[dict[str, Operator]] = {
    "equal": Operator("equal", equal, "Equal"),
    "greater": Operator("greater", greater, "Greater"),
    "greater_or_equal": Operator("greater_or_equal", greater_or_equal, "GreaterOrEqual"),
    "less": Operator("less", less, "Less"),
    "less_or_equal": Operator("less_or_equal", less_or_equal, "LessOrEqual"),
    "and": Operator("and", logical_and, "And"),
    "or": Operator("or", logical_or, "Or"),
    "xor": Operator("xor", logical_xor, "Xor"),
    "not": Operator("not", logical_not, "Not"),
    "where": Operator("where", where, "Where"),
    "is_nan": Operator("is_nan", is_nan, "IsNaN"),
    "is_inf": Operator("is_inf", is_inf, "IsInf"),
}
