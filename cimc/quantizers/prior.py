"""What can be expected of a layer's inputs when there are no data.

Quantizing without data usually keeps every weight near its float value, as if inputs were
independent and had no mean.  They are neither: the inputs of a kernel are neighbouring pixels of
one channel, and activations behind a ReLU are positive.  Two mild assumptions say so:

* inputs at two positions of a kernel correlate with ``CORRELATION ** distance``;
* the squared mean of an input is ``MEAN_POWER`` of its variance.

With them the error of the outputs can be minimized as with data (:mod:`cimc.quantizers.outputs`):
what one weight of a kernel gets wrong its neighbours make good, and sums over inputs are kept.
Where the assumptions do not hold little is lost, as they change the error of a weight by
less than its rounding does.  They hold inside blocks of rows; between blocks inputs count as
independent, so that all blocks of a layer are done at once and the time is linear in its weights.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from cimc.quantizers.feedback import DAMP, damped, descend, feedback
from cimc.quantizers.outputs import Refit
from cimc.quantizers.refit import refit, sort_levels

#: Correlation of inputs one step apart in a kernel [-].
CORRELATION: Final = 0.5
#: Squared mean of an input as a multiple of its variance [-].
MEAN_POWER: Final = 0.5
#: Most rows of a block.
ROWS: Final = 128
#: Columns done at once, few enough for the cache.
COLUMNS: Final = 2048
#: Levels up to which refitting them is worth its time.
_FEW: Final = 8


def prior_moment(channels: int, kernel: tuple[int, ...]) -> Tensor:
    """Return the expected second moment of the inputs of some channels.

    Args:
        channels: Channels [-].
        kernel: Spatial sizes of the kernel; empty for a matrix.

    Returns:
        float32 ``(1, channels * taps, channels * taps)``, channel-major.
    """
    axes = [torch.arange(k, dtype=torch.float32) for k in kernel]
    places = torch.cartesian_prod(*axes).reshape(-1, len(axes)) if axes else torch.zeros(1, 1)
    nearby = CORRELATION ** torch.cdist(places, places)
    moment = torch.kron(torch.eye(channels), nearby) + MEAN_POWER
    return moment[None]


def fit_without_data(
    weight: Tensor,
    levels: Tensor,
    kernel: tuple[int, ...] = (),
    *,
    rounds: int | None = None,
    refit_levels: Refit = refit,
) -> tuple[Tensor, Tensor]:
    """Return levels and codes with little output error for inputs as they can be expected.

    Args:
        weight: Float weights, ``(groups, rows, columns)``; rows are channel-major.
        levels: Where to start, ascending, ``(v,)`` or ``(groups, columns, v)``.
        kernel: Spatial sizes of the kernel; empty for a matrix (or where it does not divide the
            rows).
        rounds: Alternations of codes and levels; None: 3 up to 8 levels, 1 beyond, where
            levels hardly move.
        refit_levels: How levels move for given codes.

    Returns:
        Levels in the shape of ``levels``; codes, uint8 ``(groups, rows, columns)``.
    """
    rows = weight.shape[1]
    if rows % math.prod(kernel):
        kernel = ()
    taps = math.prod(kernel)
    block = max(1, ROWS // taps) * taps
    whole = rows // block * block
    cuts = [c for c in ((0, whole, block), (whole, rows, rows - whole)) if c[1] > c[0]]
    parts = [_Part(weight[:, a:b], size, kernel) for a, b, size in cuts]
    if rounds is None:
        rounds = 3 if levels.shape[-1] <= _FEW else 1

    def product(x: Tensor) -> Tensor:
        return torch.cat(
            [p.product(x[:, a:b]) for p, (a, b, _) in zip(parts, cuts, strict=True)], 1
        )

    for _ in range(rounds - 1):
        codes = torch.cat([part.codes(levels) for part in parts], 1)
        levels, _ = sort_levels(refit_levels(weight, levels, product, codes), codes)
    return levels, torch.cat([part.codes(levels) for part in parts], 1)


class _Part:
    """Rows of a weight in equal blocks, which are the columns of one matrix: they share H."""

    def __init__(self, weight: Tensor, size: int, kernel: tuple[int, ...]) -> None:
        self.groups, rows, self.columns = weight.shape
        self.count, self.size = rows // size, size
        moment = prior_moment(size // math.prod(kernel), kernel)
        self.h = damped(moment.to(weight.dtype), DAMP)
        self.flat = self._flat(weight)

    def _flat(self, x: Tensor) -> Tensor:
        x = x.reshape(self.groups, self.count, self.size, self.columns).permute(2, 0, 1, 3)
        return x.reshape(1, self.size, -1)

    def _stacked(self, x: Tensor) -> Tensor:
        x = x.reshape(self.size, self.groups, self.count, self.columns).permute(1, 2, 0, 3)
        return x.reshape(self.groups, -1, self.columns)

    def product(self, x: Tensor) -> Tensor:
        """Multiply by the second moments."""
        return self._stacked(self.h[0] @ self._flat(x)[0])

    def codes(self, levels: Tensor) -> Tensor:
        """Return codes for the levels, uint8 ``(groups, rows, columns)``."""
        table = levels
        if levels.ndim == 3:
            table = levels[:, None].expand(-1, self.count, -1, -1)
            table = table.reshape(1, self.flat.shape[2], -1)
        found = []
        for at in range(0, self.flat.shape[2], COLUMNS):
            weight = self.flat[:, :, at : at + COLUMNS].contiguous()
            some = table if table.ndim == 1 else table[:, at : at + COLUMNS]
            first = feedback(weight, some, self.h)
            found.append(descend(weight, some, self.h, first, sweeps=1))
        return self._stacked(torch.cat(found, 2))
