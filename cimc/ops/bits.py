"""Operators on the bits of integers."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES
from cimc.ops.numeric import pairwise
from cimc.ops.operator import Operator

_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def bit_shift(a: Tensor, b: Tensor, *, direction: str) -> Tensor:
    """Shift the bits of a by b places, ``LEFT`` or ``RIGHT``."""
    if direction == "LEFT":
        return pairwise(a, b, torch.bitwise_left_shift, np.left_shift)
    return pairwise(a, b, torch.bitwise_right_shift, np.right_shift)


def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    """Return the bits set in both."""
    return pairwise(a, b, torch.bitwise_and, np.bitwise_and)


def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    """Return the bits set in either."""
    return pairwise(a, b, torch.bitwise_or, np.bitwise_or)


def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    """Return the bits set in one but not in the other."""
    return pairwise(a, b, torch.bitwise_xor, np.bitwise_xor)


def bitwise_not(x: Tensor) -> Tensor:
    """Return the bits not set."""
    signed = _SIGNED.get(x.dtype)
    return (
        torch.bitwise_not(x) if signed is None else torch.bitwise_not(x.view(signed)).view(x.dtype)
    )


def bit_cast(x: Tensor, *, to: str) -> Tensor:
    """Read the bits of each element as another type of the same width.

    Raises:
        ModelError: ``CIMC-M38``: the widths differ.
    """
    kind = DTYPES[to]
    if kind.itemsize != x.dtype.itemsize:
        raise ModelError("CIMC-M38", f"{x.dtype} and {to} differ in width", where="BitCast")
    if kind == torch.bool or x.dtype == torch.bool:
        raise ModelError("CIMC-M38", "bits of truth values are not defined", where="BitCast")
    return x.contiguous().view(kind)


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "bit_shift": Operator("bit_shift", bit_shift, "BitShift"),
    "bitwise_and": Operator("bitwise_and", bitwise_and, "BitwiseAnd"),
    "bitwise_or": Operator("bitwise_or", bitwise_or, "BitwiseOr"),
    "bitwise_xor": Operator("bitwise_xor", bitwise_xor, "BitwiseXor"),
    "bitwise_not": Operator("bitwise_not", bitwise_not, "BitwiseNot"),
    "bit_cast": Operator("bit_cast", bit_cast, "BitCast"),
}
