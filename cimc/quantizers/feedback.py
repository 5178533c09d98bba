"""Choose codes that keep the outputs of a layer, not its weights, near the float ones.

The error of the outputs of a weight matrix W replaced by Q is ``tr((W - Q)' H (W - Q))``, H the
second moment of the inputs.  It is separable over columns but not over rows: what one row gets
wrong, the rows correlated with it can make good.

* :func:`feedback`: rows one after the other, largest curvature first; each takes the level
  nearest to its weight plus what the rows before it got wrong.  This is optimal brain surgeon with
  a fixed order (GPTQ, Frantar et al. 2023), here as nearest plane (Babai 1986) on a Cholesky
  factor, which needs no inverse of H.
* :func:`descend`: rows again, each weight to the level that is best given all the others (exact
  coordinate descent), until a sweep gains little.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.errors import UsageError

#: Rows whose errors are spread over all others at once, and over others of the same block.
BLOCK: Final = 128
SMALL_BLOCK: Final = 16
#: Added to the diagonal of H as a share of its mean, and how often it may grow tenfold.
DAMP: Final = 0.01
_TRIES: Final = 8


def nearest(values: Tensor, levels: Tensor) -> Tensor:
    """Return the index of the nearest level of each value; the lower one when equally near.

    Args:
        values: ``(groups, columns)``.
        levels: Ascending, ``(v,)``, or ``(groups, columns, v)`` when each column has its own.
    """
    ends = (levels[..., 1:] + levels[..., :-1]) / 2
    if levels.ndim == 1:
        return torch.bucketize(values, ends)
    return torch.searchsorted(ends.contiguous(), values[..., None].contiguous())[..., 0]


def decoded(codes: Tensor, levels: Tensor) -> Tensor:
    """Return the weights that codes stand for.

    Args:
        codes: ``(groups, rows, columns)``.
        levels: ``(v,)``, or ``(groups, columns, v)``.
    """
    index = codes.to(torch.int64)
    if levels.ndim == 1:
        return levels[index]
    return torch.gather(levels, 2, index.transpose(1, 2)).transpose(1, 2)


def damped(second_moment: Tensor, damp: float = DAMP) -> Tensor:
    """Return H with a share of its mean diagonal added to the diagonal, ``(groups, rows, rows)``.

    Rows that never see an input get the curvature 1 when no row does.
    """
    h = second_moment.clone()
    diagonal = h.diagonal(dim1=1, dim2=2)
    level = diagonal.mean(1, keepdim=True)
    diagonal += damp * torch.where(level > 0, level, torch.ones_like(level)) + (level <= 0)
    return h


def check_moments(weight: Tensor, second_moment: Tensor) -> None:
    """Refuse second moments that do not belong to the weight.

    Raises:
        UsageError: CIMC-U34.
    """
    g, r, _ = weight.shape
    if second_moment.shape != (g, r, r):
        shapes = f"{tuple(second_moment.shape)} for weights of shape {tuple(weight.shape)}"
        message = f"second moments of shape {shapes}, expected {(g, r, r)}"
        raise UsageError("CIMC-U34", message)
    if not bool(torch.isfinite(second_moment).all()):
        raise UsageError("CIMC-U34", "second moments are not finite")
    if bool((second_moment.diagonal(dim1=1, dim2=2) < 0).any()):
        raise UsageError("CIMC-U34", "second moments are not positive semidefinite")


def feedback(weight: Tensor, levels: Tensor, h: Tensor) -> Tensor:
    """Return codes by error feedback in the order of falling curvature.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        levels: Ascending, ``(v,)`` or ``(groups, columns, v)``.
        h: Damped second moments of the inputs, ``(groups, rows, rows)``, or ``(1, rows, rows)``
            for all groups.

    Returns:
        Codes, uint8 ``(groups, rows, columns)``.
    """
    groups, rows, columns = weight.shape
    # Ascending: the factor is walked from its last row, so that the largest curvature comes first.
    order = torch.argsort(h.diagonal(dim1=1, dim2=2), dim=1, stable=True)
    factor = cholesky(permuted(h, order)).to(weight.dtype)
    scale = factor.diagonal(dim1=1, dim2=2)
    index = order[:, :, None].expand(groups, -1, columns)
    target = torch.gather(weight, 1, index)
    error = torch.zeros_like(target)
    codes = torch.zeros(target.shape, dtype=torch.int64, device=weight.device)
    exact = target.clone()
    for stop in range(rows, 0, -BLOCK):
        start = max(0, stop - BLOCK)
        for end in range(stop, start, -SMALL_BLOCK):
            first = max(start, end - SMALL_BLOCK)
            for j in range(end - 1, first - 1, -1):
                lost = (factor[:, j : j + 1, j + 1 : end] @ error[:, j + 1 : end])[:, 0]
                codes[:, j] = nearest(target[:, j] + lost / scale[:, j, None], levels)
                error[:, j] = exact[:, j] - decoded(codes[:, j : j + 1], levels)[:, 0]
            spread = factor[:, start:first, first:end] @ error[:, first:end]
            target[:, start:first] += spread / scale[:, start:first, None]
        spread = factor[:, :start, start:stop] @ error[:, start:stop]
        target[:, :start] += spread / scale[:, :start, None]
    return torch.empty_like(codes).scatter_(1, index, codes).to(torch.uint8)


def descend(
    weight: Tensor,
    levels: Tensor,
    h: Tensor,
    codes: Tensor,
    *,
    sweeps: int = 6,
    gain: float = 1e-3,
) -> Tensor:
    """Improve codes by exact coordinate descent; the output error never grows.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        levels: Ascending, ``(v,)`` or ``(groups, columns, v)``.
        h: Damped second moments, ``(groups, rows, rows)`` or ``(1, rows, rows)``.
        codes: Where to start, ``(groups, rows, columns)``.
        sweeps: At most this many passes over all rows.
        gain: Stop when a sweep lowers the error by less than this share.

    Returns:
        Codes, uint8 ``(groups, rows, columns)``.
    """
    rows, h = weight.shape[1], h.to(weight.dtype)
    diagonal = h.diagonal(dim1=1, dim2=2)
    codes = codes.to(torch.int64)
    value = decoded(codes, levels)
    pull = h @ (weight - value)
    error = float(((weight - value) * pull).sum())
    for _ in range(sweeps):
        for start in range(0, rows, BLOCK):
            block = slice(start, min(start + BLOCK, rows))
            before = value[:, block].clone()
            for first in range(block.start, block.stop, SMALL_BLOCK):
                part = slice(first, min(first + SMALL_BLOCK, block.stop))
                old = value[:, part].clone()
                _descend_rows(pull, value, codes, levels, h, diagonal, part)
                _spread(pull, h, value[:, part] - old, part, block)
            _spread(pull, h, value[:, block] - before, block, slice(0, rows))
        new = float(((weight - value) * pull).sum())
        if new >= error * (1.0 - gain):
            break
        error = new
    return codes.to(torch.uint8)


def _descend_rows(
    pull: Tensor,
    value: Tensor,
    codes: Tensor,
    levels: Tensor,
    h: Tensor,
    diagonal: Tensor,
    part: slice,
) -> None:
    """Move the weights of some rows, one row after the other, in place."""
    for j in range(part.start, part.stop):
        wanted = value[:, j] + pull[:, j] / diagonal[:, j, None]
        codes[:, j] = nearest(wanted, levels)
        step = decoded(codes[:, j : j + 1], levels)[:, 0] - value[:, j]
        value[:, j] += step
        pull[:, part] -= h[:, part, j, None] * step[:, None]


def _spread(pull: Tensor, h: Tensor, moved: Tensor, source: slice, whole: slice) -> None:
    """Tell all rows of ``whole`` but those of ``source`` that the latter moved, in place."""
    for rest in (slice(whole.start, source.start), slice(source.stop, whole.stop)):
        if rest.stop > rest.start:
            pull[:, rest] -= h[:, rest, source] @ moved


def output_error(weight: Tensor, quantized: Tensor, h: Tensor) -> float:
    """Return ``tr((W - Q)' H (W - Q))`` as a share of ``tr(W' H W)`` (0 when that is 0)."""
    wide, difference = weight.double(), (weight - quantized).double()
    h = h.double()
    total = float((wide * (h @ wide)).sum())
    return float((difference * (h @ difference)).sum()) / total if total > 0 else 0.0


def permuted(h: Tensor, order: Tensor) -> Tensor:
    """Return H with rows and columns in the given order, ``(groups, rows, rows)``."""
    if len(h) == 1 and len(order) == 1:
        return h[:, order[0]][:, :, order[0]]
    h = h.expand(max(len(h), len(order)), -1, -1)
    rows = torch.gather(h, 1, order[:, :, None].expand_as(h))
    return torch.gather(rows, 2, order[:, None, :].expand_as(h))


def cholesky(h: Tensor) -> Tensor:
    """Return upper triangular R with ``R' R = H``, float64; damped where H is not definite.

    Raises:
        UsageError: CIMC-U34, no damping makes it definite.
    """
    wide = h.double()
    for attempt in range(_TRIES):
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(wide, upper=True)
        if not bool(info.any()):
            return factor
        wide = damped(wide, DAMP * 10.0 ** (attempt - 2))
    raise UsageError("CIMC-U34", "second moments are not positive semidefinite")
