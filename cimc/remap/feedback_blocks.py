"""Choose reachable values for the outputs of a layer, block by block of its second moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

from cimc.quantizers.feedback import DAMP, damped
from cimc.remap.descend import descend
from cimc.remap.feedback import feedback
from cimc.remap.options_types import Options

#: Passes over all weights after error feedback, at most.
SWEEPS: Final = 6


def choose(
    wanted: Tensor,
    options: Options,
    blocks: Sequence[tuple[slice, Tensor]] = (),
    *,
    damp: float = DAMP,
    spread: bool = True,
    sweeps: int = SWEEPS,
) -> tuple[Tensor, Tensor]:
    """Return reachable values whose outputs are near those of the weights wanted.

    Args:
        wanted: Weights, float32 ``(groups, rows, columns)``.
        options: What each can reach, of that shape.
        blocks: Rows and the second moments (or covariances) of their inputs, as
            :meth:`cimc.quantizers.curvature.Curvature.blocks` returns them; the rows of different
            blocks are taken as uncorrelated.  Rows of none take the nearest value.
        damp: Share of its mean added to the diagonal of each [-].
        spread: Spread errors over the rows not yet fixed.
        sweeps: Most passes of coordinate descent; 0: none.

    Returns:
        Values, float32, and choices, in the shape of ``wanted``.
    """
    value, choice = options.nearest(wanted)
    for rows, moments in blocks:
        some, part, h = wanted[:, rows], options[:, rows], damped(moments, damp)
        if spread:
            value[:, rows], choice[:, rows] = feedback(some, part, h)
        if sweeps:
            start = choice[:, rows]
            value[:, rows], choice[:, rows] = descend(some, part, h, start, sweeps=sweeps)
    return value, choice
