"""A stream of standard normal numbers by the method of Box and Muller, in numpy's SIMD loops.

G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", Ann. Math. Stat.
29, 610 (1958): with ``u`` and ``a`` uniform, ``r = sqrt(-2 ln u)`` and an angle ``2 pi a`` are the
polar coordinates of two independent normal numbers.  ``u`` is an odd multiple of ``2**-31`` below
1, rounded to float32, so the distribution function is right to ``2**-24``, in the tails to
``2**-30``, and no number is beyond 6.56; ``torch.Tensor.normal_`` takes 24 bits and ends at 5.77.

Sine and cosine come from ``t = tan(angle / 2)``, one slow function instead of two:
``sin = 2 t / (1 + t**2)`` and ``cos = 1 - 2 / (1 + t**2)`` up to its sign, which is as good.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Numbers made at once: what is worked on stays in the cache of a core [-].
BLOCK = 1 << 16

_ALL = 1 << 63
_TO_ONE = np.float32(2.0**-31)
_TO_HALF_ANGLE = np.float32(math.pi / 2 * 2.0**-31)
_ONE, _HALF = np.float32(1), np.float32(0.5)


class BoxMuller:
    """Standard normal numbers, float32, that go on from call to call."""

    def __init__(self, bits: np.random.BitGenerator) -> None:
        """Take the random bits from ``bits``."""
        self._bits = np.random.Generator(bits)

    def blocks(self, size: int, deviation: float = 1.0) -> Iterator[tuple[slice, Floats]]:
        """Yield ``size`` new numbers: where each block lies among them, and its numbers.

        A block is lost when the thread asks for the next, of this stream or another.

        Args:
            size: How many in all.
            deviation: Standard deviation; costs nothing.
        """
        factor = np.float32(-8.0 * math.log(2) * deviation**2)
        for first in range(0, size, BLOCK):
            length = min(BLOCK, size - first)
            yield slice(first, first + length), self._block(length, factor)

    def _block(self, length: int, factor: np.float32) -> Floats:
        pairs = -(-length // 2)
        bits = self._bits.integers(-_ALL, _ALL, pairs, dtype=np.int64).view(np.int32)
        bits[:pairs] |= 1  # no logarithm of zero
        numbers = _SCRATCH.numbers[: 2 * pairs]
        np.copyto(numbers, bits)
        radius, half = numbers[:pairs], numbers[pairs:]
        np.abs(radius, out=radius)
        radius *= _TO_ONE
        np.log2(radius, out=radius)
        radius *= factor
        np.sqrt(radius, out=radius)  # twice the radius
        half *= _TO_HALF_ANGLE
        np.tan(half, out=half)
        share = np.square(half, out=_SCRATCH.shares[:pairs])
        share += _ONE
        np.divide(radius, share, out=share)  # 2 r / (1 + t**2)
        half *= share
        radius *= _HALF
        radius -= share
        return numbers[:length]


def root(values: Floats) -> Floats:
    """Return the square roots of at most a block of values, 0 of negative ones.

    They are lost when the thread asks for others.
    """
    out = _SCRATCH.roots[: values.size]
    if values.min(initial=0) < 0:  # looking is cheaper than clamping
        values = np.maximum(values, 0, out=out)
    roots: Floats = np.sqrt(values, out=out)
    return roots


class _Scratch(threading.local):
    """Memory of one block for all streams of a thread, so that it stays in its core's cache."""

    def __init__(self) -> None:
        self.numbers: Floats = np.empty(BLOCK, np.float32)
        self.shares: Floats = np.empty(BLOCK // 2, np.float32)
        self.roots: Floats = np.empty(BLOCK, np.float32)


_SCRATCH = _Scratch()
