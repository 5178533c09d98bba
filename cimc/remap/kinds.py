"""Kinds of faults: what is stuck in the cells of one weight.

Stuck cells mostly stand at one of two conductances, so the places of a tile differ in a handful
of ways only.  What a weight loses is worked out once for each way, not for each place
(:mod:`cimc.remap.losses`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

#: Most kinds told apart in a tile; beyond, conductances are rounded, then lesser faults ignored.
MOST: Final = 128
#: Conductances that are told apart when there are too many [-].
_ROUNDED: Final = 8


@dataclass(frozen=True, slots=True)
class Kinds:
    """The faults at every place for a weight.

    Attributes:
        number: Kind at each place, int32 ``(p, s)``; 0: healthy.
        stuck_us: What is stuck in each kind, float32 ``(k, planes)``; NaN healthy [uS].
    """

    number: Numbers
    stuck_us: Matrix

    def swapped(self) -> tuple[Kinds, Numbers]:
        """Return the kinds with all swapped ones among them, and the number of each swapped.

        Swapped: what G+ and G- are exchanged for, for differential pairs.
        """
        known = {tuple(np.nan_to_num(k, nan=-1.0)): n for n, k in enumerate(self.stuck_us)}
        rows = [*self.stuck_us]
        for kind in self.stuck_us:
            if tuple(np.nan_to_num(kind[::-1], nan=-1.0)) not in known:
                known[tuple(np.nan_to_num(kind[::-1], nan=-1.0))] = len(rows)
                rows.append(kind[::-1])
        other = [known[tuple(np.nan_to_num(kind[::-1], nan=-1.0))] for kind in rows]
        return Kinds(self.number, np.stack(rows)), np.array(other, np.int32)


def kinds_of(stuck_us: Matrix, weights: npt.NDArray[np.float64] | None = None) -> Kinds:
    """Tell the kinds of faults apart.

    Args:
        stuck_us: float32 ``(planes, p, s)``, NaN healthy [uS].
        weights: How much each plane matters, ``(planes,)``: the last to be ignored where there
            are more than :data:`MOST` kinds; None: all the same.
    """
    planes = len(stuck_us)
    number = np.zeros(stuck_us.shape[1:], np.int32)
    healthy = np.full((1, planes), np.nan, np.float32)
    where = np.flatnonzero(~np.isnan(stuck_us).all(0))
    if not len(where):
        return Kinds(number, healthy)
    found = np.nan_to_num(stuck_us.reshape(planes, -1)[:, where].T, nan=-1.0)
    kinds, inverse, count = _distinct(found)
    if len(kinds) >= MOST:
        low, high = found[found >= 0].min(), found.max()
        step = (high - low) / (_ROUNDED - 1) or 1.0
        rounded = low + step * np.round((found - low) / step)
        found = np.where(found < 0, found, rounded).astype(np.float32)
        kinds, inverse, count = _distinct(found)
    order = np.argsort(np.arange(planes) if weights is None else weights, kind="stable")
    for plane in order[:-1]:  # ignore the faults of lesser planes, of rare kinds only
        if len(kinds) < MOST:
            break
        rare = np.argsort(np.argsort(-count, kind="stable"), kind="stable") >= MOST // 2
        found[rare[inverse], plane] = -1.0
        kinds, inverse, count = _distinct(found)
    number.reshape(-1)[where] = inverse + 1
    stuck = np.where(kinds < 0, np.nan, kinds).astype(np.float32)
    return Kinds(number, np.concatenate([healthy, stuck]))


def _distinct(found: Matrix) -> tuple[Matrix, Numbers, npt.NDArray[np.int64]]:
    """Return distinct rows, which of them each row is, and how often each occurs."""
    code = np.zeros(len(found), np.int64)
    for plane in range(found.shape[1]):
        values, index = np.unique(found[:, plane], return_inverse=True)
        _, code = np.unique(code * len(values) + index, return_inverse=True)
    _, first, inverse, count = np.unique(
        code, return_index=True, return_inverse=True, return_counts=True
    )
    return found[first], inverse.astype(np.int32), count
