"""Element-wise arithmetic of two and more tensors, with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.numeric import pairwise
from cimc.ops.operator import Operator


def add(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a + b``; integers wrap."""
    return pairwise(a, b, torch.add, np.add)


def sub(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a - b``; integers wrap."""
    return pairwise(a, b, torch.sub, np.subtract)


def mul(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a * b``; integers wrap."""
    return pairwise(a, b, torch.mul, np.multiply)


def div(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a / b``; of integers, truncated toward zero."""
    if a.is_floating_point():
        return pairwise(a, b, torch.div, np.divide)
    return pairwise(a, b, _truncated, np.floor_divide)


def _truncated(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode="trunc")


def mod(a: Tensor, b: Tensor, *, fmod: bool = False) -> Tensor:
    """Return the remainder of ``a / b``.

    Args:
        a: Dividend.
        b: Divisor.
        fmod: The result has the sign of the dividend (as C's ``fmod``) instead of the divisor's.
    """
    if fmod:
        return pairwise(a, b, torch.fmod, np.fmod)
    return pairwise(a, b, torch.remainder, np.mod)


def pow(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a ** b`` in the element type of ``a``; the exponent may have another type.

    An integer base with a fractional or negative exponent is computed in float64 and truncated.
    """
    if a.is_floating_point():
        if b.dtype != a.dtype and b.is_floating_point():
            wide = torch.promote_types(a.dtype, b.dtype)
            return torch.pow(a.to(wide), b.to(wide)).to(a.dtype)
        return torch.pow(a, b.to(a.dtype))
    if b.is_floating_point() or bool((b.long() < 0).any()):
        return torch.pow(a.double(), b.double()).to(a.dtype)
    return torch.pow(a.long(), b.long()).to(a.dtype)


def sum(*tensors: Tensor) -> Tensor:
    """Return the sum of one or more tensors."""
    return _fold(add, tensors)


def mean(*tensors: Tensor) -> Tensor:
    """Return the mean of one or more tensors."""
    return _fold(add, tensors) / len(tensors)


def max(*tensors: Tensor) -> Tensor:
    """Return the element-wise maximum of one or more tensors; NaN wins."""
    return _fold(_maximum, tensors)


def min(*tensors: Tensor) -> Tensor:
    """Return the element-wise minimum of one or more tensors; NaN wins."""
    return _fold(_minimum, tensors)


def _maximum(a: Tensor, b: Tensor) -> Tensor:
    return pairwise(a, b, torch.maximum, np.maximum)


def _minimum(a: Tensor, b: Tensor) -> Tensor:
    return pairwise(a, b, torch.minimum, np.minimum)


def _fold(function: Callable[[Tensor, Tensor], Tensor], tensors: tuple[Tensor, ...]) -> Tensor:
    if not tensors:
        raise ModelError("CIMC-M19", "needs at least one tensor")
    return reduce(function, tensors)


def clip(x: Tensor, min: Tensor | None = None, max: Tensor | None = None) -> Tensor:
    """Limit x to ``[min, max]``; where min exceeds max the result is max.

    Args:
        x: Any shape.
        min: One element, the type of x; None: no lower limit.
        max: One element; None: no upper limit.
    """
    if min is not None:
        x = _maximum(x, min.reshape(()))
    return x if max is None else _minimum(x, max.reshape(()))


OPERATORS: Final[dict[str, Operator]] = {
    "add": Operator("add", add, "Add"),
    "sub": Operator("sub", sub, "Sub"),
    "mul": Operator("mul", mul, "Mul"),
    "div": Operator("div", div, "Div"),
    "mod": Operator("mod", mod, "Mod"),
    "pow": Operator("pow", pow, "Pow"),
    "sum": Operator("sum", sum, "Sum"),
    "mean": Operator("mean", mean, "Mean"),
    "max": Operator("max", max, "Max"),
    "min": Operator("min", min, "Min"),
    "clip": Operator("clip", clip, "Clip"),
}
