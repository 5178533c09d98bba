"""User arrays to tensors and back; what may not be given to a program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.ops import arrays

#: Types of values only opaque operators handle; passed on as they are.
_NOT_TENSORS = ("string", "sequence", "optional")


def check_names(inputs: Mapping[str, Any], signals: tuple[Signal, ...]) -> None:
    """Require an array for every input and no other.

    Raises:
        ModelError: CIMC-M80, one is missing; CIMC-M81, one is not an input.
    """
    expected = [signal.name for signal in signals]
    hint = "arrays named " + ", ".join(repr(name) for name in expected)
    for name in expected:
        if name not in inputs:
            raise ModelError("CIMC-M80", f"input '{name}' is missing from the data", hint=hint)
    for name in inputs:
        if name not in expected:
            message = f"the data hold '{name}', which is not an input of the program"
            raise ModelError("CIMC-M81", message, hint=hint)


def to_tensor(value: Any, signal: Signal, device: torch.device, *, finite: bool) -> Any:
    """Return the value of one input, checked, on a device.

    Args:
        value: A numpy array; anything for inputs that are not tensors.
        signal: The input.
        device: Where to compute.
        finite: Whether NaN and infinity are refused: a converter reads the input.

    Raises:
        ModelError: CIMC-M82, another element type; CIMC-M83, another shape; CIMC-M84, not finite.
    """
    if signal.dtype in _NOT_TENSORS:
        return value
    array = np.asarray(value)
    where = f"input '{signal.name}'"
    if array.dtype.name != signal.dtype and not _same_bits(array, signal):
        raise ModelError(
            "CIMC-M82",
            f"the data are {array.dtype.name}, the program takes {signal.dtype}",
            where=where,
            hint=f"converting them: data.astype(numpy.{signal.dtype})",
        )
    _check_shape(array, signal, where)
    tensor = _tensor(array, signal.dtype).to(device)
    if finite and tensor.is_floating_point() and not _finite(tensor):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ModelError(
            "CIMC-M84",
            f"{bad} of {tensor.numel()} values are NaN or infinite, no converter can apply them",
            where=where,
            hint="finite data, or mode 'ideal'",
        )
    return tensor


def _check_shape(array: npt.NDArray[Any], signal: Signal, where: str) -> None:
    if signal.shape is None:
        return
    fits = len(array.shape) == len(signal.shape) and all(
        isinstance(wanted, str) or size == wanted
        for size, wanted in zip(array.shape, signal.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(axis) or "?" for axis in signal.shape)
        raise ModelError(
            "CIMC-M83",
            f"the data have the shape {tuple(array.shape)}, the program takes ({wanted})",
            where=where,
            hint="data of that shape; the first axis is usually the sample",
        )


def _finite(x: Tensor) -> bool:
    """Whether all values are finite; their sum tells at once, unless it overflows."""
    return math.isfinite(float(x.sum())) or bool(torch.isfinite(x).all())


def _same_bits(array: npt.NDArray[Any], signal: Signal) -> bool:
    """Whether the array stands for an element type numpy has no word for."""
    return arrays.is_small_float(signal.dtype) and array.dtype.name == "float32"


def _tensor(array: npt.NDArray[Any], dtype: str) -> Tensor:
    """Return an array as a tensor; float32 may stand for types numpy does not have."""
    tensor = arrays.to_tensor(array)
    if array.dtype.name == "float32" and arrays.is_small_float(dtype):
        kind: torch.dtype = getattr(torch, dtype)
        return tensor.to(kind)
    return tensor


def samples(value: Any) -> int | None:
    """Return the size of a value's first axis; None of what has no axes (a sequence, a scalar)."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return int(shape[0]) if len(shape) else None


def memory_of(value: Any) -> int:
    """Return what identifies the memory of a tensor; 0 for other values."""
    return value.untyped_storage().data_ptr() if isinstance(value, Tensor) else 0


def to_array(value: Any, kept: AbstractSet[int] = frozenset()) -> Any:
    """Return a result as a numpy array; bfloat16 and float8 as float32.

    Strings are arrays of objects already; sequences stay lists.

    Args:
        value: The result.
        kept: Memory the caller may not write to; results in it are copied.
    """
    if not isinstance(value, Tensor):
        return value
    if memory_of(value) in kept:
        value = value.clone()
    value = value.detach().cpu()
    if arrays.is_small_float(str(value.dtype).removeprefix("torch.")):
        value = value.float()
    return value.resolve_conj().resolve_neg().numpy()
