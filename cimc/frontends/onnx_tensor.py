"""Weights of an ONNX model as torch tensors, without copying them."""

from __future__ import annotations

import mmap
import warnings

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.dtypes import DTYPES

#: Element types constants may have; others only opaque operators hold.
NATIVE = frozenset(
    {
        ir.DataType.BOOL,
        ir.DataType.UINT8,
        ir.DataType.UINT16,
        ir.DataType.UINT32,
        ir.DataType.UINT64,
        ir.DataType.INT8,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.FLOAT16,
        ir.DataType.BFLOAT16,
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
        ir.DataType.COMPLEX64,
        ir.DataType.COMPLEX128,
    }
)

#: Elements looked at in one go [-].
_CHUNK = 1 << 22


def to_torch(tensor: ir.TensorProtocol, where: str) -> Tensor:
    """Return the values of an ONNX tensor, sharing memory where they lie in a mapped file.

    The result may be read-only memory: never write to it.

    Raises:
        ModelError: ``CIMC-M02``: external data is missing, too short, or outside the model's
            folder; ``CIMC-M15``: the element type is not native.
    """
    if tensor.dtype not in NATIVE:
        raise ModelError(
            "CIMC-M15", f"element type {tensor.dtype.name} of a constant", where=where
        )
    raw = getattr(tensor, "raw", None)
    if isinstance(raw, Tensor):
        return raw.detach().contiguous()
    try:
        array = tensor.numpy()
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            "CIMC-M02",
            f"the data of a constant cannot be read: {str(error).splitlines()[0]}",
            where=where,
            hint="keeping the external data file, complete, in the folder of the model",
        ) from error
    return from_numpy(np.asarray(array))


def from_numpy(array: npt.NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor that shares its memory where it can."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype == ml_dtypes.bfloat16:
        return from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.name not in DTYPES:
        raise TypeError(f"no tensor for element type {array.dtype}")
    with warnings.catch_warnings():
        # The tensor is never written to; mapped weights stay in the page cache.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def forget(tensor: ir.TensorProtocol | None) -> None:
    """Let go of the pages of a mapped file that were read; they are read again when needed."""
    raw = getattr(tensor, "raw", None)
    if isinstance(raw, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        raw.madvise(mmap.MADV_DONTNEED)


def non_finite(values: Tensor) -> int:
    """Return how many values are NaN or infinite; a finite sum proves there are none."""
    if not values.is_floating_point() or values.numel() == 0:
        return 0
    if bool(torch.isfinite(values.sum(dtype=torch.promote_types(values.dtype, torch.float32)))):
        return 0
    flat = values.reshape(-1)
    parts = (flat[k : k + _CHUNK] for k in range(0, flat.numel(), _CHUNK))
    return sum(part.numel() - int(torch.isfinite(part).sum()) for part in parts)
