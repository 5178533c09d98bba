"""Einstein sums, determinants and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator


def einsum(*x: Tensor, equation: str) -> Tensor:
    """Return the Einstein sum of an equation such as ``bij, bjk -> bik``; ``...`` broadcasts.

    Raises:
        ModelError: ``CIMC-M38``: the equation does not fit the operands.
    """
    try:
        y: Tensor = torch.einsum(equation.replace(" ", ""), *x)
    except RuntimeError as error:
        raise ModelError(
            "CIMC-M38",
            f"equation {equation!r} does not fit the operands: {str(error).splitlines()[0]}",
            where="Einsum, attribute 'equation'",
        ) from error
    return y


def det(x: Tensor) -> Tensor:
    """Return the determinant of each matrix, ``(..., n, n)`` to ``(...)``."""
    y: Tensor = torch.linalg.det(x)
    return y


def cum_sum(x: Tensor, axis: Tensor, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Return running sums along an axis.

    Args:
        x: Any shape.
        axis: One integer.
        exclusive: Leave out the element itself; the first sum is 0.
        reverse: Run from the end.
    """
    return _running(torch.cumsum, 0, x, int(axis), exclusive, reverse)


def cum_prod(x: Tensor, axis: Tensor, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Return running products along an axis; see :func:`cum_sum`; the first exclusive one is 1."""
    return _running(torch.cumprod, 1, x, int(axis), exclusive, reverse)


def _running(
    function: Callable[..., Tensor],
    start: int,
    x: Tensor,
    axis: int,
    exclusive: bool,
    reverse: bool,
) -> Tensor:
    if reverse:
        x = x.flip(axis)
    if exclusive and x.shape[axis]:
        first = torch.full_like(x.narrow(axis, 0, 1), start)
        x = torch.cat((first, x.narrow(axis, 0, x.shape[axis] - 1)), dim=axis)
    y = function(x, axis, dtype=x.dtype)
    return y.flip(axis) if reverse else y


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "einsum": Operator("einsum", einsum, "Einsum"),
    "det": Operator("det", det, "Det"),
    "cum_sum": Operator("cum_sum", cum_sum, "CumSum"),
    "cum_prod": Operator("cum_prod", cum_prod, "CumProd"),
}
