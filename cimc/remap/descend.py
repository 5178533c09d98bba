"""Exact coordinate descent over reachable values; the output error never grows."""

from __future__ import annotations

from torch import Tensor

from cimc.remap.feedback import BLOCK, SMALL_BLOCK
from cimc.remap.options_types import Options


def descend(
    wanted: Tensor,
    options: Options,
    h: Tensor,
    choice: Tensor,
    *,
    sweeps: int = 6,
    gain: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Improve choices, each weight to the value that is best given all the others.

    Args:
        wanted: Weights, float32 ``(groups, rows, columns)``.
        options: What each can reach, of that shape.
        h: Damped second moments, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        choice: Where to start, as ``options`` returns it.
        sweeps: At most this many passes over all rows.
        gain: Stop when a sweep lowers the error by less than this share.

    Returns:
        Values, float32, and choices, ``(groups, rows, columns)`` each.
    """
    rows, h = wanted.shape[1], h.to(wanted.dtype)
    inverse = 1.0 / h.diagonal(dim1=1, dim2=2)
    choice, value = choice.clone(), options.values(choice)
    pull = h @ (wanted - value)
    error = float(((wanted - value) * pull).sum())
    for _ in range(sweeps):
        for start in range(0, rows, BLOCK):
            block = slice(start, min(start + BLOCK, rows))
            before = value[:, block].clone()
            for first in range(block.start, block.stop, SMALL_BLOCK):
                part = slice(first, min(first + SMALL_BLOCK, block.stop))
                old = value[:, part].clone()
                for j in range(part.start, part.stop):
                    best = value[:, j] + pull[:, j] * inverse[:, j, None]
                    new, choice[:, j] = options[:, j].nearest(best)
                    pull[:, part] -= h[:, part, j, None] * (new - value[:, j])[:, None]
                    value[:, j] = new
                _spread(pull, h, value[:, part] - old, part, block)
            _spread(pull, h, value[:, block] - before, block, slice(0, rows))
        after = float(((wanted - value) * pull).sum())
        if after >= error * (1.0 - gain):
            break
        error = after
    return value, choice


def _spread(pull: Tensor, h: Tensor, moved: Tensor, source: slice, whole: slice) -> None:
    """Tell all rows of ``whole`` but those of ``source`` that the latter moved, in place."""
    for rest in (slice(whole.start, source.start), slice(source.stop, whole.stop)):
        if rest.stop > rest.start:
            pull[:, rest] -= h[:, rest, source] @ moved
