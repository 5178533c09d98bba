"""Memory for converter codes, reused from layer to layer of a run."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

#: Numbers kept from one run to the next: 16 MiB.
KEPT = 1 << 22


class Workspace(threading.local):
    """Buffers by purpose, each as large as the largest use so far.

    Codes live only while their tile is read, so all tiles can share them.  New memory for each
    costs more than converting: the system clears every page of it.  Every thread has its own.
    """

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def like(self, x: Tensor, purpose: str = "codes") -> Tensor:
        """Return a float32 tensor in the shape of ``x``, dense, images channels-last.

        Its contents are undefined, and lost at the next call for the same purpose.
        """
        if x.ndim == 4:
            n, c, h, w = x.shape
            return self.flat((n, h, w, c), x.device, purpose).permute(0, 3, 1, 2)
        return self.flat(x.shape, x.device, purpose)

    def stack(self, count: int, x: Tensor, purpose: str) -> Tensor:
        """Return ``count`` tensors as :meth:`like` returns one, ``(count, *x.shape)``."""
        if x.ndim == 4:
            n, c, h, w = x.shape
            flat = self.flat((count, n, h, w, c), x.device, purpose)
            return flat.permute(0, 1, 4, 2, 3)
        return self.flat((count, *x.shape), x.device, purpose)

    def flat(self, shape: Sequence[int], device: torch.device, purpose: str) -> Tensor:
        """Return a dense float32 tensor of a shape; its contents are undefined."""
        size = math.prod(shape)
        found = self._flat.get(purpose)
        if found is None or found.numel() < size or found.device != device:
            found = self._flat[purpose] = torch.empty(size, dtype=torch.float32, device=device)
        return found[:size].view(*shape)

    def shrink(self) -> None:
        """Give the memory back when it is much; called after a run."""
        for purpose in [p for p, flat in self._flat.items() if flat.numel() > KEPT]:
            del self._flat[purpose]
