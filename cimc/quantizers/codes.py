"""Which level a value takes: the nearest, the lower one when two are equally near.

That is [GDQ Eq. 2]: level i owns the interval ``e[i-1] < x <= e[i]``, and the end points ``e``
lie halfway between neighbouring levels.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cimc.quantizers.arrays import Codes, Floats, Numbers, as_float32

#: Values encoded at a time, so that comparisons stay in the cache.
_CHUNK: Final = 1 << 16


def boundaries(levels: Floats) -> Floats:
    """Return the end points between neighbouring levels, along the last axis.

    Each is the largest float32 that is not above the true midpoint, so that ``x > boundary``
    says exactly which of two levels is nearer to a float32 ``x``.

    Args:
        levels: Ascending along the last axis, ``(..., v)``.

    Returns:
        End points, float32 ``(..., v - 1)``.
    """
    wide = levels.astype(np.float64)
    exact = 0.5 * (wide[..., 1:] + wide[..., :-1])
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def encode(values: Numbers, ends: Floats) -> Codes:
    """Return the code of each value: how many end points lie below it.

    Args:
        values: Any shape.
        ends: Ascending end points, ``(v - 1,)`` with v at most 256.

    Returns:
        Codes of the shape of ``values``.
    """
    array = as_float32(values)
    flat = np.ascontiguousarray(array).reshape(-1)
    codes = np.zeros(flat.size, np.uint8)
    for start in range(0, flat.size, _CHUNK):
        chunk, out = flat[start : start + _CHUNK], codes[start : start + _CHUNK]
        for end in ends:
            out += (chunk > end).view(np.uint8)
    return codes.reshape(array.shape)


def encode_columns(values: Numbers, ends: Floats) -> Codes:
    """Return the codes of values whose columns have end points of their own.

    Args:
        values: ``(rows, columns)``.
        ends: ``(columns, v - 1)``, ascending along the last axis.

    Returns:
        Codes, ``(rows, columns)``.
    """
    array = as_float32(values)
    codes = np.zeros(array.shape, np.uint8)
    step = max(1, _CHUNK // array.shape[1])
    for start in range(0, array.shape[0], step):
        chunk, out = array[start : start + step], codes[start : start + step]
        for end in ends.T:
            out += (chunk > end).view(np.uint8)
    return codes
