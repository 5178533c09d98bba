"""Matrix products."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.ops.arithmetic import add
from cimc.ops.dtypes import WIDER
from cimc.ops.operator import Operator


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices as numpy does: leading axes broadcast, vectors get an axis for the time.

    Args:
        a: Shape ``(..., n, k)`` or ``(k,)``.
        b: Shape ``(..., k, m)`` or ``(k,)``.

    Returns:
        Shape ``(..., n, m)``.
    """
    if a.dtype in WIDER:  # modulo 2**64 signed and unsigned products have the same bits
        return torch.matmul(a.long(), b.long()).to(a.dtype)
    return torch.matmul(a, b)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,  # noqa: N803 - the name of the ONNX attribute
    transB: bool = False,  # noqa: N803
) -> Tensor:
    """Return ``alpha * A @ B + beta * c``.

    Args:
        a: Shape ``(n, k)``, or ``(k, n)`` with transA.
        b: Shape ``(k, m)``, or ``(m, k)`` with transB.
        c: Broadcasts to ``(n, m)``.
        alpha: Factor of the product.
        beta: Factor of c.
        transA: a is transposed first.
        transB: b is transposed first.

    Returns:
        Shape ``(n, m)``.
    """
    y = scaled(matmul(a.T if transA else a, b.T if transB else b), alpha)
    return y if c is None else add(y, scaled(c, beta))


def scaled(x: Tensor, factor: float) -> Tensor:
    """Return x times a factor, in the element type of x; integers are truncated."""
    if factor == 1.0:
        return x
    return x * factor if x.is_floating_point() else (x.double() * factor).to(x.dtype)


OPERATORS: Final[dict[str, Operator]] = {
    "matmul": Operator("matmul", matmul, "MatMul", weights=(1, 0)),
    "gemm": Operator("gemm", gemm, "Gemm", weights=(1,)),
}
