"""Values on their way into and out of onnxruntime."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import onnxruntime  # few programs hold such an operator, and importing it takes a while

#: Element types numpy has no word for: number in onnx.TensorProto, torch type, the integer of the
#: same width.
BIT_TYPES: dict[str, tuple[int, torch.dtype, torch.dtype]] = {
    "tensor(bfloat16)": (16, torch.bfloat16, torch.uint16),
    "tensor(float8e4m3fn)": (17, torch.float8_e4m3fn, torch.uint8),
    "tensor(float8e4m3fnuz)": (18, torch.float8_e4m3fnuz, torch.uint8),
    "tensor(float8e5m2)": (19, torch.float8_e5m2, torch.uint8),
    "tensor(float8e5m2fnuz)": (20, torch.float8_e5m2fnuz, torch.uint8),
}

_NUMPY_TYPES: dict[str, str] = {
    "float32": "tensor(float)",
    "float64": "tensor(double)",
    **{
        name: f"tensor({name})"
        for name in (
            "float16",
            "bool",
            *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
        )
    },
}
_TORCH_TYPES = {dtype: name for name, (_, dtype, _) in BIT_TYPES.items()}


def onnx_type(value: Any) -> str:
    """Return onnxruntime's name for the type of a value, for messages and checks."""
    if isinstance(value, Tensor):
        name = str(value.dtype).removeprefix("torch.")
        return _TORCH_TYPES.get(value.dtype) or _NUMPY_TYPES.get(name, f"tensor({name})")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUT":
            return "tensor(string)"
        return _NUMPY_TYPES.get(value.dtype.name, f"tensor({value.dtype.name})")
    if value is None:
        return "nothing"
    return "sequence" if isinstance(value, list) else type(value).__name__


def to_feed(value: Any, declared: str) -> Any:
    """Return a value as ``InferenceSession.run`` takes it.

    Args:
        value: A tensor, array, list, dict or None.
        declared: The type the graph input has, in onnxruntime's words.

    Raises:
        TypeError: The value is not of that type.
    """
    inner = declared.removeprefix("optional(").removeprefix("seq(").rstrip(")") + ")"
    if isinstance(value, Tensor | np.ndarray):
        if onnx_type(value) != inner or "seq(" in declared:
            raise TypeError(onnx_type(value))
        return numpy_of(value)
    if value is None:
        if not declared.startswith("optional("):
            raise TypeError("nothing")
        return None
    if isinstance(value, list) and "seq(" in declared:
        for item in value:
            if isinstance(item, Tensor | np.ndarray) and onnx_type(item) != inner:
                raise TypeError(f"seq({onnx_type(item)})")
        return [numpy_of(item) if isinstance(item, Tensor) else item for item in value]
    if isinstance(value, dict) and declared.startswith("map("):
        return value
    raise TypeError(onnx_type(value))


def numpy_of(value: Tensor | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a tensor or array as a contiguous numpy array; strings as objects."""
    if isinstance(value, Tensor):
        return np.ascontiguousarray(value.detach().cpu().numpy()).reshape(tuple(value.shape))
    if value.dtype.kind in "UT":
        return value.astype(object)
    return np.ascontiguousarray(value).reshape(value.shape)


def to_ort_value(value: Any, declared: str) -> onnxruntime.OrtValue:
    """Return a tensor as an ``OrtValue``; needed where numpy has no such element type.

    Raises:
        TypeError: The value is not of the declared type.
    """
    import onnxruntime

    if not isinstance(value, Tensor | np.ndarray) or onnx_type(value) != declared:
        raise TypeError(onnx_type(value))
    if declared not in BIT_TYPES or not isinstance(value, Tensor):
        return onnxruntime.OrtValue.ortvalue_from_numpy(numpy_of(value))
    code, _, bits = BIT_TYPES[declared]
    raw = value.detach().cpu().contiguous().view(bits).numpy()
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, code)


def from_ort(value: Any, device: torch.device) -> Any:
    """Return a result of ``InferenceSession.run`` as the operators of cimc hold values.

    Numbers become tensors; strings stay arrays of objects; sequences stay lists (of arrays).
    """
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OUT":
        known = value.view(np.dtype(value.dtype.name))  # torch knows uint64, not ulonglong
        return torch.from_numpy(np.require(known, requirements=["C", "W"])).to(device)
    if isinstance(value, np.generic):
        return torch.from_numpy(np.asarray(value)).to(device)
    return value


def from_ort_value(value: onnxruntime.OrtValue, device: torch.device) -> Any:
    """Return an ``OrtValue`` that holds a tensor as a torch tensor (strings as an array)."""
    known = BIT_TYPES.get(value.data_type())
    if known is None:
        return from_ort(value.numpy(), device)
    _, dtype, bits = known
    shape = tuple(value.shape())
    size = value.tensor_size_in_bytes()
    if size == 0:
        return torch.empty(shape, dtype=dtype, device=device)
    raw = bytearray(ctypes.string_at(value.data_ptr(), size))
    return torch.frombuffer(raw, dtype=bits).view(dtype).reshape(shape).to(device)
