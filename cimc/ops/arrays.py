"""numpy arrays to tensors, element types included that numpy has from other packages only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def is_small_float(dtype: str) -> bool:
    """Whether an element type is bfloat16 or a float8, which numpy itself does not have."""
    return dtype == "bfloat16" or dtype.startswith("float8_")


def to_tensor(array: npt.NDArray[Any]) -> Tensor:
    """Return an array as a tensor; shares memory where torch can and may write to it."""
    name = array.dtype.name
    if is_small_float(name):
        bits = np.int16 if array.dtype.itemsize == 2 else np.uint8
        kind: torch.dtype = getattr(torch, name)
        return torch.from_numpy(np.array(array, order="C").view(bits)).view(kind)
    shareable = array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    if not shareable:
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array)
