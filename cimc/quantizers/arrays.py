"""Numbers in: checks that every quantizer makes on what it is given."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cimc.errors import UsageError

#: Real numbers as numpy or torch hold them.
Numbers = npt.NDArray[Any] | Tensor

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

#: Most levels a code can name: codes are uint8.
MOST_LEVELS: Final = 256


def as_float32(values: Numbers, what: str = "values") -> Floats:
    """Return the values as a float32 numpy array of the same shape.

    Raises:
        UsageError: CIMC-U30, there are none.
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.size == 0:
        raise UsageError("CIMC-U30", f"no {what} to quantize", where=f"shape {array.shape}")
    return array.astype(np.float32, copy=False)


def check_finite(array: npt.NDArray[Any], what: str = "values") -> None:
    """Refuse NaN and infinities.

    Raises:
        UsageError: CIMC-U30.
    """
    if not np.isfinite(array).all():
        raise not_finite(array, what)


def not_finite(array: npt.NDArray[Any], what: str = "values") -> UsageError:
    """Return the error for an array that holds NaN or infinities."""
    bad = np.flatnonzero(~np.isfinite(array))
    value = array.reshape(-1)[bad[0]]
    message = f"{bad.size} of {array.size} {what} are not finite, the first is {value}"
    return UsageError("CIMC-U30", message, where=f"flat index {bad[0]}")


def check_levels(levels: int, least: int = 2) -> None:
    """Refuse numbers of levels that cannot be.

    Raises:
        UsageError: CIMC-U31.
    """
    if not least <= levels <= MOST_LEVELS:
        message = f"{levels} levels asked for; {least} to {MOST_LEVELS} are possible"
        raise UsageError("CIMC-U31", message)
