"""What a fault map file says about the chip, as JSON in a tensor.

The container has no metadata of its own (one byte string for one content, see
:mod:`cimc.program.container`), so the text is a tensor of bytes among the others.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from cimc.errors import FaultMapError
from cimc.faults.fault_map import FaultMap
from cimc.faults.validity import MAX_LINES

FORMAT: Final = "cimc-fault-map"
VERSION: Final = 1
#: Longest text that is read [byte].
MAX_BYTES: Final = 1 << 16

_Lines = Annotated[int, Field(ge=1, le=MAX_LINES)]
_Figure = Annotated[float, Field(ge=0.0)]


class Metadata(BaseModel):
    """The JSON object: names of the keys are those of :class:`cimc.faults.FaultMap`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal["cimc-fault-map"] = FORMAT
    version: Literal[1] = VERSION
    chip: str
    target: str
    array_rows: _Lines | None = None
    array_columns: _Lines | None = None
    temperature_k: _Figure | None = None
    time_s: _Figure | None = None


def encode(fault_map: FaultMap) -> Tensor:
    """Return what a map says about its chip, uint8: JSON, keys sorted, no blanks, ASCII."""
    names = ("chip", "target", "array_rows", "array_columns", "temperature_k", "time_s")
    data = {"format": FORMAT, "version": VERSION}
    data |= {n: getattr(fault_map, n) for n in names if getattr(fault_map, n) is not None}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return torch.from_numpy(np.frombuffer(text.encode("ascii"), np.uint8).copy())


def decode(tensor: Tensor, *, where: str) -> Metadata:
    """Return what the tensor of a file says.

    Raises:
        FaultMapError: ``CIMC-F02``, it is not the text of a fault map, or of another version.
    """
    if tensor.dtype != torch.uint8 or tensor.dim() != 1 or tensor.numel() > MAX_BYTES:
        raise _broken(f"is {tensor.dtype} {list(tensor.shape)}, not at most 64 KiB", where)
    try:
        data = json.loads(tensor.numpy().tobytes().decode())
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        raise _broken("is not JSON", where) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise _broken(f"'format' is not '{FORMAT}'", where)
    if data.get("version") != VERSION:
        raise _broken(f"version {str(data.get('version'))[:20]} is not {VERSION}", where)
    try:
        return Metadata.model_validate(data)
    except ValidationError as error:
        detail = error.errors()[0]
        path = ".".join(str(p)[:40] for p in detail["loc"])
        raise _broken(f"'{path}': {detail['msg']}", where) from error


def _broken(message: str, where: str) -> FaultMapError:
    return FaultMapError("CIMC-F02", f"not a valid fault map: the metadata {message}", where=where)
