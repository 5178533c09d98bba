"""Numbers of arrays as people write them: ``0-63,70``."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

#: Most numbers that ranges may stand for [-].
MAX_NUMBERS: Final = 1 << 24

_PART: Final = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")


def read_ranges(text: str) -> npt.NDArray[np.int32]:
    """Return the numbers that a text names, ascending, int32 ``(k,)``; none for an empty text.

    Raises:
        ValueError: It is not a list of numbers and ranges, a number is named twice, or there are
            too many.
    """
    if not text.strip():
        return np.zeros(0, np.int32)
    ends = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()[:40]!r} is neither a number nor a range such as 0-63")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise ValueError(f"the range {part.strip()[:40]!r} runs backwards")
        ends.append((first, last))
    if sum(last - first + 1 for first, last in ends) > MAX_NUMBERS:
        raise ValueError(f"more than {MAX_NUMBERS} numbers")
    numbers = np.concatenate([np.arange(a, b + 1, dtype=np.int64) for a, b in ends])
    numbers.sort()
    again = np.flatnonzero(np.diff(numbers) == 0)
    if again.size:
        raise ValueError(f"{numbers[again[0]]} is named twice")
    return numbers.astype(np.int32)


def write_ranges(numbers: npt.NDArray[np.int32]) -> str:
    """Return ascending numbers as text that :func:`read_ranges` reads."""
    if not len(numbers):
        return ""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    first = numbers[np.concatenate([[0], breaks + 1])].tolist()
    last = numbers[np.concatenate([breaks, [len(numbers) - 1]])].tolist()
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(first, last, strict=True))
