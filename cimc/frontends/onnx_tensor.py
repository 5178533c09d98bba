"""Weights of an ONNX model as torch tensors, without copying them."""

from __future__ import annotations

import math
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


class MappedFiles:
    """External data files, each mapped into memory once however many weights lie in it.

    A mapping keeps a file descriptor; one a weight would run out of them on large models.
    """

    def __init__(self) -> None:
        self._maps: dict[str, mmap.mmap] = {}

    def array(self, tensor: ir.ExternalTensor) -> npt.NDArray[np.generic]:
        """Return the values of a tensor, in the pages of its file.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is too short, or the length said is not that of the values.
        """
        shape = tuple(tensor.shape.numpy())
        dtype = np.dtype(tensor.dtype.numpy())
        count = math.prod(shape)
        if tensor.length is not None and tensor.length != count * dtype.itemsize:
            raise ValueError(f"{tensor.length} bytes for {count} elements of {dtype}")
        if count == 0:
            return np.empty(shape, dtype)
        path = str(tensor.path)
        if path not in self._maps:
            with open(path, "rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        raw = np.frombuffer(self._maps[path], np.uint8, count * dtype.itemsize, tensor.offset or 0)
        return raw.view(dtype.newbyteorder("<")).reshape(shape)

    def forget(self) -> None:
        """Let go of the pages that were read; they are read again when needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapping in self._maps.values():
                mapping.madvise(mmap.MADV_DONTNEED)


def to_torch(tensor: ir.TensorProtocol, where: str, files: MappedFiles | None = None) -> Tensor:
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
        if files is not None and isinstance(tensor, ir.ExternalTensor):
            array = files.array(tensor)
        else:
            array = np.asarray(tensor.numpy())
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ModelError(
            "CIMC-M02",
            f"the data of a constant cannot be read: {str(error).splitlines()[0]}",
            where=where,
            hint="keeping the external data file, complete, in the folder of the model",
        ) from error
    return from_numpy(array)


def from_numpy(array: npt.NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor that shares its memory where it can."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.aligned or not array.flags.c_contiguous:
        array = array.copy()
    if array.dtype == ml_dtypes.bfloat16:
        return from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.name not in DTYPES:
        raise TypeError(f"no tensor for element type {array.dtype}")
    with warnings.catch_warnings():
        # The tensor is never written to; mapped weights stay in the page cache.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def non_finite(values: Tensor) -> int:
    """Return how many values are NaN or infinite; a finite sum proves there are none."""
    if not values.is_floating_point() or values.numel() == 0:
        return 0
    if bool(torch.isfinite(values.sum(dtype=torch.promote_types(values.dtype, torch.float32)))):
        return 0
    flat = values.reshape(-1)
    parts = (flat[k : k + _CHUNK] for k in range(0, flat.numel(), _CHUNK))
    return sum(part.numel() - int(torch.isfinite(part).sum()) for part in parts)
