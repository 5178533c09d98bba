"""Standard normal numbers, many at a time, as fast as all threads can draw them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from cimc.device import seeding
from cimc.device.box_muller import BoxMuller, Floats, root

#: Streams that large draws are divided among, at most.  How many depends on the size of a draw
#: alone, so that the numbers do not depend on the number of threads.
LANES = 8
#: Fewest numbers of a stream in a divided draw [-].
SMALL = 1 << 15
#: Most numbers whose memory is kept: 16 MiB.
KEPT = 1 << 22

#: What is done with a part of the numbers: takes the stream, the first position and the size.
_Work = Callable[[BoxMuller, int, int], None]


class Normals:
    """Standard normal numbers that go on from call to call.

    On the CPU they are the same whatever the number of threads; other devices have streams of
    their own.
    """

    def __init__(self, seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> None:
        """Start the streams of one purpose on one chip, see :mod:`cimc.device.seeding`."""
        self._device = torch.device(device)
        self._buffer = _Buffer()
        self._streams: list[BoxMuller] = []
        self._foreign: torch.Generator | None = None
        if self._device.type == "cpu":
            keys = [seeding.bit_generator(seed, *purpose, lane) for lane in range(LANES)]
            self._streams = [BoxMuller(bits) for bits in keys]
        else:
            self._foreign = seeding.generator(seed, *purpose, device=device)

    def like(self, x: Tensor) -> Tensor:
        """Return new numbers in the shape and memory layout of ``x``, float32.

        They are lost at the next call in the same thread.
        """
        flat = self._buffer.of(x.numel(), self._device)
        if self._foreign is not None:
            flat.normal_(generator=self._foreign)
        else:
            self._divide(flat.numel(), partial(_put, flat.numpy()))
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
            self._divide(x.numel(), partial(_add, _flat(x), _flat(variance), scale))
            return x
        spread = variance.clamp_(min=0).sqrt_()
        return x.addcmul_(self.like(spread).to(x.dtype), spread, value=scale)

    def _divide(self, size: int, work: _Work) -> None:
        """Do the work for every stream's part of ``size`` numbers, in all threads."""
        lanes = min(LANES, size // SMALL)
        if lanes < 2:
            work(self._streams[0], 0, size)
            return
        part = -(-size // lanes)
        jobs = [
            partial(work, stream, lane * part, min(part, size - lane * part))
            for lane, stream in enumerate(self._streams[:lanes])
        ]
        helpers = min(torch.get_num_threads(), lanes) - 1
        waiting = _Waiting(jobs)
        helping = [_pool().submit(waiting.work) for _ in range(helpers)]
        waiting.work()
        for helper in helping:
            if not helper.cancel():  # one that never got its turn has nothing left to do
                helper.result()


class _Waiting:
    """Jobs that threads take in turn: one that is held up leaves the rest to the others."""

    def __init__(self, jobs: Iterable[Callable[[], None]]) -> None:
        self._jobs = iter(jobs)
        self._lock = threading.Lock()

    def work(self) -> None:
        while True:
            with self._lock:
                job = next(self._jobs, None)
            if job is None:
                return
            job()


def _put(out: Floats, stream: BoxMuller, first: int, size: int) -> None:
    with np.errstate(all="ignore"):
        for where, numbers in stream.blocks(size):
            out[first:][where] = numbers


def _add(
    x: Floats, variance: Floats, scale: float, stream: BoxMuller, first: int, size: int
) -> None:
    x, variance = x[first:], variance[first:]
    with np.errstate(all="ignore"):  # as torch: infinite currents are no error here
        for where, numbers in stream.blocks(size, scale):
            spread = root(variance[where])
            spread *= numbers
            x[where] += spread


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


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LANES - 1, thread_name_prefix="normals")
