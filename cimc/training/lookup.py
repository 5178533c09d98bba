"""Many levels: the code of a value by table look-up, exact, several times as fast as a search.

The range of the end points is cut into equal cells.  The cell of a value is found by a subtraction
and a product, and both are monotone in floating point too: an end point in a lower cell lies below
the value, one in a higher cell does not.  So a code is the number of end points in lower cells,
from a table, and one comparison with the end point in the cell, where it has one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.quantizers.arrays import Codes, Floats

#: Cells of a table; end points closer together than one are left to a search.
_CELLS: Final = 1 << 13
#: Values handled at a time, so that they stay in the cache.
_CHUNK: Final = 1 << 15


def look_up(values: Floats, ends: Floats, codes: Codes) -> bool:
    """Write how many end points lie below each value, where they lie far enough apart for that.

    Args:
        values: Any shape, contiguous.
        ends: Ascending, ``(v - 1,)``, v at most 256; equal ones may repeat.
        codes: In the shape of ``values``, written.

    Returns:
        Whether codes were written.
    """
    # What overflows is beyond all end points, and is moved to the last cell.
    with np.errstate(over="ignore"):
        return _look_up(values, ends, codes)


def _look_up(values: Floats, ends: Floats, codes: Codes) -> bool:
    distinct, first = np.unique(ends, return_index=True)
    low, high = distinct[0], distinct[-1]
    factor = np.float32(_CELLS - 1) / (high - low) if high > low else np.float32(0)
    if not (0 < factor < np.inf):
        return False
    at = _cells(distinct, low, factor)
    if (np.diff(at) == 0).any():
        return False
    inside = np.full(_CELLS, np.inf, np.float32)
    inside[at] = distinct
    # End points in lower cells, and with the one in the cell.
    count = np.append(first, ends.size)
    below = count[np.searchsorted(at, np.arange(_CELLS))].astype(np.uint8)
    extra = np.zeros(_CELLS, np.uint8)
    extra[at] = np.diff(count)
    flat, out = values.reshape(-1), codes.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        x, into = flat[start : start + _CHUNK], out[start : start + _CHUNK]
        cell = _cells(x, low, factor)
        np.take(below, cell, out=into, mode="clip")
        into += (x > inside.take(cell, mode="clip")) * extra.take(cell, mode="clip")
    return True


def _cells(x: Floats, low: Any, factor: Any) -> npt.NDArray[np.intp]:
    """Return the cell of each value; below the first and beyond the last: those."""
    place = np.subtract(x, low)
    place *= factor
    # The smaller of a NaN and a number would be a NaN, which is no cell.
    np.fmin(np.fmax(place, np.float32(0), out=place), np.float32(_CELLS - 1), out=place)
    cells: npt.NDArray[np.intp] = place.astype(np.intp)
    return cells
