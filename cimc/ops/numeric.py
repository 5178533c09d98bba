"""How element-wise functions treat element types: as ONNX says, never promoted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cimc.ops.dtypes import WIDER

#: A ufunc of numpy.
Ufunc = Callable[..., Any]


def pairwise(a: Tensor, b: Tensor, function: Callable[..., Tensor], ufunc: Ufunc) -> Tensor:
    """Apply a broadcasting function of two tensors of one element type.

    torch stores uint16, uint32 and uint64 but does not compute with them; numpy does.

    Returns:
        What ``function`` returns, in the element type of ``a`` unless it is boolean.
    """
    if a.dtype in WIDER:
        with np.errstate(all="ignore"):
            value = np.asarray(ufunc(a.cpu().numpy(), b.cpu().numpy()))
        return torch.from_numpy(value).to(a.device)
    # A tensor without axes must not change the type of the result.
    y = function(a, b)
    return y if y.dtype in (a.dtype, torch.bool) else y.to(a.dtype)


def in_float(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of floats; integers go through float64 and back."""
    if x.is_floating_point():
        return function(x)
    return function(x.double()).to(x.dtype)
