"""The nearest sums of multipliers that the bits of one chip can hold, fast enough for every step.

Multipliers that are learned change with every step, and with them all tables of reachable values;
which bits are healthy does not.  So that part is worked out once, and tables are made by one sort.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Distance of the middles of two tables in one list; values are scaled to [-1, 1].
_APART = 4.0
#: Most entries of all tables; with more, tables of cells are made for what there is.
MOST_SUMS = 1 << 22


class NearestSums:
    """Values ``<r, S> + c`` nearest to weights, ``S`` what the bits of each weight can hold.

    Healthy bits are 0 or 1; stuck ones have the share of the range at which they conduct [NM
    §3.6].

    Args:
        stuck_us: Per bit, conductance of stuck cells, NaN for healthy ones, float32 ``(groups,
            rows, columns)`` [uS].
        g_min_us: Conductance of a bit that is 0 [uS].
        g_max_us: Conductance of a bit that is 1 [uS].
    """

    def __init__(self, stuck_us: Sequence[Tensor], g_min_us: float, g_max_us: float) -> None:
        stuck = torch.stack(tuple(stuck_us))
        healthy = stuck.isnan()
        share = (stuck - g_min_us) / (g_max_us - g_min_us)
        #: What stuck bits hold, 0 where they are healthy, float32 ``(n, groups, rows, columns)``.
        self.held = torch.where(healthy, 0.0, share)
        count = len(stuck)
        place = 1 << torch.arange(count, dtype=torch.int32, device=stuck.device)
        #: Which bits are healthy, as a number, int32 ``(groups, rows, columns)``.
        self.mask = (healthy * place.reshape(-1, 1, 1, 1)).sum(0, dtype=torch.int32)
        number = torch.arange(1 << count, device=stuck.device)
        #: All patterns, without the bits that a mask says are stuck, ``(masks, patterns)``.
        self._patterns = number[:, None] & number

    def __call__(self, matrix: Tensor, r: Tensor, c: Tensor) -> Tensor:
        """Return the nearest values; differentiable in ``r`` and ``c``, at fixed bits.

        Args:
            matrix: Weights, float32 ``(groups, rows, columns)``.
            r: Multipliers, ``(n,)``, or ``(groups * columns, n)``.
            c: Offset, ``()``, or ``(groups * columns,)``.
        """
        factors, offset = self._spread(r), self._spread(c[..., None])[0]
        with torch.no_grad():
            bits = self._nearest(matrix - offset - self._sum(factors, self.held), r)
            held = self.held + bits
        return self._sum(factors, held) + offset

    def _spread(self, value: Tensor) -> Tensor:
        """Return ``(k,)`` or ``(columns, k)`` with the axes of weights behind ``k``."""
        if value.ndim == 1:
            return value.reshape(-1, 1, 1, 1)
        groups, _, columns = self.mask.shape
        return value.T.reshape(-1, groups, 1, columns)

    @staticmethod
    def _sum(factors: Tensor, held: Tensor) -> Tensor:
        if factors.numel() == len(factors):
            total: Tensor = torch.tensordot(factors.reshape(-1), held, 1)
            return total
        return (factors * held).sum(0)

    def _nearest(self, rest: Tensor, r: Tensor) -> Tensor:
        """Return which healthy bits are 1, ``(n, groups, rows, columns)``."""
        wide = r.detach().double().reshape(-1, r.shape[-1])
        count = wide.shape[-1]
        places = torch.arange(count, device=wide.device)
        number = torch.arange(1 << count, device=wide.device)
        sums = wide @ (number[:, None] >> places & 1).double().T
        tables, order = sums[:, self._patterns].sort(dim=-1, stable=True)
        unit = tables.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        tables = (tables / unit).reshape(-1, tables.shape[-1])
        first = _APART * torch.arange(len(tables), device=wide.device)
        ends = torch.full_like(tables, 2.0)  # the last value of a table is nearest up to the next
        ends[:, :-1] = (tables[:, 1:] + tables[:, :-1]) / 2
        ends += first[:, None]
        key = (rest.double() / unit).clamp_(-1.5, 1.5).add_(self._table(len(wide)), alpha=_APART)
        found = torch.bucketize(key.contiguous(), ends.reshape(-1)[:-1])
        pattern = self._patterns.expand_as(order).gather(-1, order).reshape(-1)[found]
        return (pattern >> places.reshape(-1, 1, 1, 1) & 1).to(rest.dtype)

    def _table(self, columns: int) -> Tensor:
        """Return the table of each weight: that of its column and of its healthy bits."""
        if columns == 1:
            return self.mask
        groups, _, own = self.mask.shape
        column = torch.arange(columns, device=self.mask.device).reshape(groups, 1, own)
        return column * len(self._patterns) + self.mask
