"""Memory for converter codes, reused from layer to layer of a run."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

#: Numbers kept from one run to the next: 16 MiB.
KEPT = 1 << 22


class Workspace(threading.local):
    """One buffer, as large as the largest input of a tile that was converted.

    Codes live only while their tile is read, so all tiles can share it.  New memory for each costs
    more than converting: the system clears every page of it.  Every thread has its own.
    """

    def __init__(self) -> None:
        self._flat = torch.empty(0)

    def like(self, x: Tensor) -> Tensor:
        """Return a float32 tensor in the shape of ``x``, dense, images channels-last.

        Its contents are undefined, and lost at the next call.
        """
        size = math.prod(x.shape)
        if self._flat.numel() < size or self._flat.device != x.device:
            self._flat = torch.empty(size, dtype=torch.float32, device=x.device)
        flat = self._flat[:size]
        if x.ndim == 4:
            n, c, h, w = x.shape
            return flat.view(n, h, w, c).permute(0, 3, 1, 2)
        return flat.view(x.shape)

    def shrink(self) -> None:
        """Give the memory back when it is much; called after a run."""
        if self._flat.numel() > KEPT:
            self._flat = torch.empty(0)
