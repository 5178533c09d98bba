"""Standard normal numbers, many at a time, as fast as all threads can draw them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from cimc.device import seeding

#: Streams that large draws are divided among.  Fixed, so that the numbers do not depend on the
#: number of threads.
LANES = 4
#: Draws below this come from the first stream alone [-].
SMALL = 1 << 15
#: Most numbers whose memory is kept: 16 MiB.
KEPT = 1 << 22


class Normals:
    """Standard normal numbers that go on from call to call."""

    def __init__(self, seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> None:
        """Start the streams of one purpose on one chip, see :mod:`cimc.device.seeding`."""
        self._device = torch.device(device)
        lanes = LANES if self._device.type == "cpu" else 1
        self._streams = [
            seeding.generator(seed, *purpose, lane, device=device) for lane in range(lanes)
        ]
        self._buffer = _Buffer()

    def like(self, x: Tensor) -> Tensor:
        """Return new numbers in the shape and memory layout of ``x``, float32.

        They are lost at the next call in the same thread.
        """
        flat = self._buffer.of(x.numel(), self._device)
        self._fill(flat)
        if x.is_contiguous() or (
            x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        ):
            return flat.as_strided(x.shape, x.stride())
        return flat.view(x.shape)

    def _fill(self, flat: Tensor) -> None:
        if flat.numel() < SMALL or len(self._streams) == 1:
            flat.normal_(generator=self._streams[0])
            return
        size = -(-flat.numel() // len(self._streams))
        parts = list(zip(torch.split(flat, size), self._streams, strict=False))
        workers = min(torch.get_num_threads(), len(parts))
        if workers == 1:
            for part, stream in parts:
                part.normal_(generator=stream)
            return
        for drawn in [_pool(workers).submit(_draw, *part) for part in parts]:
            drawn.result()


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


def _draw(part: Tensor, stream: torch.Generator) -> None:
    # Whether memory may be written outside inference mode depends on where it was made.
    with torch.inference_mode():
        part.normal_(generator=stream)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="normals")
