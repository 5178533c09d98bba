"""Error feedback over reachable values: what one weight gets wrong, the others make good.

As :func:`cimc.quantizers.feedback.feedback`, but every weight takes the nearest of the values its
own cells can still reach.  The error of the outputs of a weight matrix W replaced by Q is
``tr((W - Q)' H (W - Q))``, H the second moments of the inputs; rows are walked one after the
other (optimal brain surgeon with a fixed order, Frantar et al. 2023, GPTQ), here as nearest plane
(Babai 1986) on a Cholesky factor.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.quantizers.feedback import cholesky, permuted
from cimc.remap.feedback_order import hardest_last
from cimc.remap.feedback_rows import Floats, rows_of
from cimc.remap.options_types import Options

#: Rows whose errors are spread over all others at once, and over others of the same block.
BLOCK: Final = 128
SMALL_BLOCK: Final = 16


def feedback(
    wanted: Tensor, options: Options, h: Tensor, *, order: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return values whose outputs are near those of the weights wanted.

    Args:
        wanted: Weights, float32 ``(groups, rows, columns)``.
        options: What each can reach, of that shape.
        h: Damped second moments of the inputs, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        order: Rows of each group from the last to the first to be fixed, ``(groups, rows)`` or
            ``(1, rows)``; None: :func:`~cimc.remap.feedback_order.hardest_last`.

    Returns:
        Values, float32, and choices, ``(groups, rows, columns)`` each.

    Raises:
        UsageError: CIMC-U34, no damping makes the second moments definite.
    """
    groups, _, columns = wanted.shape
    first, start = options.nearest(wanted)
    if order is None:
        order = hardest_last(h, wanted - first)
    factor = cholesky(permuted(h, order)).to(wanted.dtype)
    # Scaled once, so that what is spread needs no division row by row.
    factor = factor / factor.diagonal(dim1=1, dim2=2)[:, :, None]
    order = order.expand(groups, -1)
    index = order[:, :, None].expand(groups, -1, columns)
    target = torch.gather(wanted, 1, index)
    walked = options[torch.arange(groups)[:, None], order]
    choice = _walk(target, walked, factor, start)
    choice = torch.empty_like(choice).scatter_(1, index, choice)
    return options.values(choice), choice


def _walk(target: Tensor, options: Options, factor: Tensor, like: Tensor) -> Tensor:
    """Fix row after row, the last first, and return the choices, of the type of ``like``."""
    rows, choices = rows_of(options), torch.empty_like(like)
    exact, error = target.clone(), torch.zeros_like(target)
    t, e, x, c = target.numpy(), error.numpy(), exact.numpy(), choices.numpy()
    f, factor = factor.numpy(), factor.expand(len(target), -1, -1)
    for stop in range(target.shape[1], 0, -BLOCK):
        start = max(0, stop - BLOCK)
        for end in range(stop, start, -SMALL_BLOCK):
            first = max(start, end - SMALL_BLOCK)
            for j in range(end - 1, first - 1, -1):
                goal = t[:, j] + lost(f[:, j, j + 1 : end], e[:, j + 1 : end])
                value, c[:, j] = rows.nearest(j, goal)
                np.subtract(x[:, j], value, out=e[:, j])
            part = factor[:, start:first, first:end]
            target[:, start:first].baddbmm_(part, error[:, first:end])
        target[:, :start].baddbmm_(factor[:, :start, start:stop], error[:, start:stop])
    return choices


def lost(factor: Floats, error: Floats) -> Floats:
    """Return ``(groups, n) @ (groups, n, columns)``."""
    product: Floats
    if len(error) == 1:
        product = (factor[0] @ error[0])[None]
    else:
        product = np.matmul(factor[:, None], error)[:, 0]
    return product
