"""Multipliers and offsets with little error: descent from starts, and hops out of local minima.

Descent alternates the nearest level of each value with the least squares of multipliers and
offset.  It ends in a local minimum, and for 16 levels or more there are many: the best of the
usual starts may be a tenth worse than the best there is.  So multipliers drawn at random are tried
too, and the best are bent at random and descend again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cimc.device import seeding
from cimc.device.slices import canonical, sliced_levels
from cimc.quantizers.slice_points import Points

#: Relative fall of the error below which alternating stops, and rounds after which it does.
_THRESHOLD: Final = 1e-6
MOST_ROUNDS: Final = 60
#: Rounds of random starts and of bent copies, and the spread of what these are bent by.
_DRAWN_ROUNDS, _BENT_ROUNDS, _SPREAD = 6, 12, 0.3
#: Candidates that go on from one stage to the next.
_KEPT: Final = 4


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried.

    Attributes:
        drawn: Random starts [-].
        hops: How often the best are bent [-].
        bent: Bent copies of a hop [-].
    """

    drawn: int
    hops: int
    bent: int


#: For a whole layer, and for each of many columns.
LAYER, COLUMN = Effort(150, 3, 48), Effort(48, 2, 24)


def wander(points: Points, r: Tensor, c: Tensor, effort: Effort) -> tuple[Tensor, Tensor, Tensor]:
    """Return multipliers and offsets that are no worse than those given, and often better.

    Always the same for the same values: what is random comes from a fixed seed.

    Args:
        points: Values of the columns.
        r: Multipliers, float64 ``(columns, n)``.
        c: Offsets, ``(columns,)``.
        effort: How much is tried.

    Returns:
        ``r``, ``c`` and the mean squared error of each column.
    """
    draw = seeding.generator(0, "n-multiplier")
    first = r[:, None], c[:, None]
    drawn = _drawn(points, r.shape[-1], effort.drawn, draw)
    r, c = _best(*_joined(first, drawn), points, _DRAWN_ROUNDS)
    r, c = _best(r, c, points, _BENT_ROUNDS)
    for _ in range(effort.hops):
        bent = _best(*_bent(r, c, effort.bent, draw), points, _BENT_ROUNDS)
        r, c = _best(*_joined((r, c), bent), points, _BENT_ROUNDS)
    r, c, error = alternate(points, r, c, MOST_ROUNDS)
    least = error.argmin(1, keepdim=True)
    r = torch.gather(r, 1, least[:, :, None].expand(-1, -1, r.shape[-1]))
    return r[:, 0], torch.gather(c, 1, least)[:, 0], torch.gather(error, 1, least)[:, 0]


def _drawn(points: Points, n: int, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw multipliers whose sum is in proportion to the range of the values."""
    low, high = points.x[:, :1], points.x[:, -1:]
    random = torch.rand(count, n + 2, generator=draw, dtype=torch.float64)
    shares = -torch.log1p(-random[:, :n])  # exponential: uniform on the simplex when normalized
    shares = shares / shares.sum(-1, keepdim=True)
    # Sums may go beyond the range: a level that no value needs lets others lie better.
    span = (high - low) * (0.3 + 1.2 * random[:, n])
    # The lowest level lies between the lowest value and the mean.
    c = low + (points.mean[:, None] - low) * random[:, n + 1]
    return canonical(span[..., None] * shares, c)


def _bent(r: Tensor, c: Tensor, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Multiply multipliers by random factors around the middle of their levels.

    The factors are the same for all columns, so that a column's fit is its own affair.
    """
    copies = max(1, count // r.shape[1])
    many = r.repeat(1, copies, 1)
    normals = torch.randn(many.shape[1:], generator=draw, dtype=torch.float64)
    bent = many * torch.exp(_SPREAD * normals)
    return canonical(bent, c.repeat(1, copies) + 0.5 * (many.sum(-1) - bent.sum(-1)))


def _joined(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([a[0], b[0]], 1), torch.cat([a[1], b[1]], 1)


def _best(r: Tensor, c: Tensor, points: Points, rounds: int) -> tuple[Tensor, Tensor]:
    """Return the best few sets after some rounds of descent."""
    r, c, error = alternate(points, r, c, rounds)
    order = error.argsort(dim=1, stable=True)[:, :_KEPT]
    r = torch.gather(r, 1, order[:, :, None].expand(-1, -1, r.shape[-1]))
    return r, torch.gather(c, 1, order)


def alternate(points: Points, r: Tensor, c: Tensor, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Alternate nearest levels and least squares; return the best ``r``, ``c`` and errors."""
    best_r, best_c, best = r, c, torch.full(c.shape, torch.inf, dtype=torch.float64)
    for _ in range(rounds):
        levels, patterns = sliced_levels(r, c)
        count, total = points.intervals(levels)
        error = points.error(levels, count, total)
        better = error < best
        enough = error < best * (1.0 - _THRESHOLD)
        best_r = torch.where(better[..., None], r, best_r)
        best_c = torch.where(better, c, best_c)
        best = torch.where(better, error, best)
        if not bool(enough.any()):
            break
        r, c = _least_squares(patterns, levels.double(), count, total, r, c)
    return best_r, best_c, best


def _least_squares(
    patterns: Tensor, levels: Tensor, count: Tensor, total: Tensor, r: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the best multipliers and offsets for given intervals of values."""
    n = r.shape[-1]
    bits = (patterns[..., None] >> torch.arange(n)) & 1
    basis = torch.cat([bits, torch.ones_like(bits[..., :1])], -1).double()
    power = basis.mT @ (count[..., None] * basis)
    pull = (basis.mT @ (total - count * levels)[..., None])[..., 0]
    return canonical(*moved(power, pull, r, c))


def moved(power: Tensor, pull: Tensor, r: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Solve ``power d = pull`` for the change ``d`` of ``(r, c)``; what nothing pulls at stays.

    Args:
        power: Normal equations, ``(..., n + 1, n + 1)``, positive semidefinite.
        pull: Right-hand side, ``(..., n + 1)``.
        r: Multipliers, ``(..., n)``.
        c: Offsets, ``(...,)``.

    Returns:
        New multipliers, of any sign, and offsets.
    """
    size = power.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
    size = torch.where(size > 0, size, torch.ones_like(size))
    ridge = torch.diag_embed((1e-10 * size).expand_as(pull))
    step = torch.linalg.solve(power + ridge, pull)
    return r + step[..., :-1], c + step[..., -1]
