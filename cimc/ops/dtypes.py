"""Element types: their names in attributes and records, and as torch knows them."""

from __future__ import annotations

from typing import Final

import torch

#: torch type of each element type native operators work on, by numpy name.
DTYPES: Final[dict[str, torch.dtype]] = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "uint16": torch.uint16,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}

#: Unsigned types torch stores but hardly computes with, and a type that holds their values.
#: ``uint64`` needs care: int64 holds its bits, not its values.
WIDER: Final[dict[torch.dtype, torch.dtype]] = {
    torch.uint16: torch.int32,
    torch.uint32: torch.int64,
    torch.uint64: torch.int64,
}
