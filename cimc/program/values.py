"""numpy arrays of programs as tensors, and back; bfloat16 and byte order included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ProgramError
from cimc.program.container import DTYPES

#: Element types (numpy names) that can be stored.
STORABLE: Final = frozenset(str(dtype).removeprefix("torch.") for dtype in DTYPES.values())


def to_tensor(value: Any, *, where: str) -> Tensor:
    """Return an array as a tensor, sharing memory where it can.

    Raises:
        ProgramError: ``CIMC-P26``, the element type cannot be stored.
    """
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype.name not in STORABLE:
        raise ProgramError("CIMC-P26", f"element type {array.dtype} cannot be stored", where=where)
    if array.dtype.name == "bfloat16":
        bits = np.array(array, order="C").view(np.int16)
        return torch.from_numpy(bits).view(torch.bfloat16)
    native = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    return torch.from_numpy(native)


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a tensor as an array, sharing memory."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def storable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that are arrays or tensors of a type that can be stored."""
    return {name: value for name, value in values.items() if _is_storable(value)}


def _is_storable(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.dtype in DTYPES.values()
    return isinstance(value, np.ndarray) and value.dtype.name in STORABLE
