"""What is learned of a tensor file while its bytes pass by, when writing and when reading."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from cimc.program.container import BlobRecord, Bytes, Entry, Record


class Tally:
    """sha256 of a file and of each of its tensors, and the range of those that are F32.

    Args:
        head: The bytes before the tensors.
    """

    def __init__(self, head: bytes) -> None:
        self._file = hashlib.sha256(head)
        self._size = len(head)
        self._tensors: dict[str, Record] = {}
        self._ranges: dict[str, tuple[float, float]] = {}

    def begin(self, entry: Entry) -> None:
        """The bytes of a tensor follow."""
        self._tensor = hashlib.sha256()
        self._ranged = entry.dtype == "F32"
        self._low, self._high = math.inf, -math.inf

    def add(self, data: Bytes) -> None:
        """Some bytes of the tensor, whole elements."""
        self._file.update(data.data)
        self._tensor.update(data.data)
        self._size += data.size
        if self._ranged and data.size:
            values = data.view(np.dtype("<f4"))
            # np.minimum keeps a NaN that is there already; min() of Python would not.
            self._low = float(np.minimum(self._low, values.min()))
            self._high = float(np.maximum(self._high, values.max()))

    def end(self, name: str, entry: Entry) -> None:
        """The tensor is complete."""
        self._tensors[name] = Record(entry.dtype, entry.shape, self._tensor.hexdigest())
        if self._ranged:
            self._ranges[name] = (self._low, self._high)

    def record(self) -> BlobRecord:
        """Return what is known of the file."""
        return BlobRecord(self._file.hexdigest(), self._size, self._tensors, self._ranges)
