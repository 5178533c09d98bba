"""Standard normal numbers, many at a time, as fast as they can be drawn.

One thread draws them: helpers were tried, and lost more to the interpreter's lock, and to torch's
threads that wait for work on the same cores, than they gained.
"""

from __future__ import annotations

import math
import threading

import numpy as np
import torch
from torch import Tensor

from cimc.device import seeding
from cimc.device.box_muller import BoxMuller, Floats, root

#: Most numbers whose memory is kept: 16 MiB.
KEPT = 1 << 22


class Normals:
    """Standard normal numbers that go on from call to call.

    On the CPU they are the same whatever the number of threads; other devices have streams of
    their own.
    """

    def __init__(self, seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> None:
        """Start the streams of one purpose on one chip, see :mod:`cimc.device.seeding`."""
        self._device = torch.device(device)
        self._buffer = _Buffer()
        self._stream = BoxMuller(seeding.bit_generator(seed, *purpose))
        self._foreign: torch.Generator | None = None
        if self._device.type != "cpu":
            self._foreign = seeding.generator(seed, *purpose, device=device)

    def like(self, x: Tensor) -> Tensor:
        """Return new numbers in the shape and memory layout of ``x``, float32.

        They are lost at the next call in the same thread.
        """
        flat = self._buffer.of(x.numel(), self._device)
        if self._foreign is not None:
            flat.normal_(generator=self._foreign)
        else:
            out = flat.numpy()
            with np.errstate(all="ignore"):
                for where, numbers in self._stream.blocks(out.size):
                    out[where] = numbers
        return flat.as_strided(x.shape, x.stride()) if _is_dense(x) else flat.view(x.shape)

    def add(self, x: Tensor, variance: Tensor, scale: float = 1.0) -> Tensor:
        """Add ``scale * sqrt(variance)`` times new numbers to ``x``, in place.

        On the CPU this is one pass in parts that fit the cache, several times faster than drawing
        first.

        Args:
            x: Any shape.
            variance: Negative values count as zero; overwritten.  Broadcast against ``x``:
                values that share a variance share a number.
            scale: A factor [-].

        Returns:
            ``x``.
        """
        if self._foreign is None and _in_one_pass(x, variance):
            self._add(_flat(x), _flat(variance), scale)
            return x
        if not variance.requires_grad:
            spread = variance.clamp_(min=0).sqrt_()
            return x.addcmul_(self.like(spread).to(x.dtype), spread, value=scale)
        spread = learned_root(variance)
        # A copy: it is kept for the backward pass, the numbers are lost at the next call.
        return x.addcmul_(self.like(spread).to(x.dtype, copy=True), spread, value=scale)

    def _add(self, x: Floats, variance: Floats, scale: float) -> None:
        with np.errstate(all="ignore"):  # as torch: infinite currents are no error here
            for where, numbers in self._stream.blocks(x.size, scale):
                spread = root(variance[where])
                spread *= numbers
                x[where] += spread


def learned_root(variance: Tensor) -> Tensor:
    """Return ``sqrt(max(variance, 0))``, new, with derivative 0 where there is no variance."""
    some = variance > 0
    return torch.where(some, torch.where(some, variance, 1.0).sqrt(), 0.0)


def _in_one_pass(x: Tensor, variance: Tensor) -> bool:
    same = variance.shape == x.shape and variance.stride() == x.stride() and _is_dense(x)
    learned = x.requires_grad or variance.requires_grad
    return same and not learned and x.dtype == variance.dtype == torch.float32


def _is_dense(x: Tensor) -> bool:
    channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.is_contiguous() or channels_last


def _flat(x: Tensor) -> Floats:
    flat: Floats = x.detach().as_strided((math.prod(x.shape),), (1,)).numpy()
    return flat


class _Buffer(threading.local):
    """Memory for numbers, kept from call to call; new memory costs as much as drawing."""

    def __init__(self) -> None:
        self._flat = torch.empty(0)

    def of(self, size: int, device: torch.device) -> Tensor:
        if size > KEPT:
            return torch.empty(size, device=device)
        if self._flat.numel() < size or self._flat.device != device:
            self._flat = torch.empty(size, device=device)
        return self._flat[:size]
