"""Move the levels of an n-multiplier codebook for the outputs: its multipliers and its offset."""

from __future__ import annotations

import torch
from torch import Tensor

from cimc.device.slices import canonical, slice_planes, sliced_levels
from cimc.quantizers.refit import Product
from cimc.quantizers.slice_descent import moved


class SliceRefit:
    """Least-squares multipliers and offset for given codes; a :data:`~.outputs.Refit`.

    The output error is quadratic in multipliers and offset, as it is in free levels (see
    :func:`cimc.quantizers.refit.refit`), but there are few of them: the normal equations are
    solved exactly, with one product with H for each.

    It remembers what it returned, so that the multipliers of the levels that are kept in the end
    are known.

    Args:
        multipliers: To start from, ``(n,)`` or ``(groups * columns, n)``.
        offset: ``(1,)`` or ``(groups * columns,)``.
        powers: Keep each multiplier twice the one before (uniform levels).
    """

    def __init__(self, multipliers: Tensor, offset: Tensor, *, powers: bool = False) -> None:
        self._powers = powers
        self._known: list[tuple[Tensor, Tensor, Tensor]] = []
        offset = offset[0] if multipliers.ndim == 1 else offset
        self._remember(multipliers.double(), offset.double())

    def __call__(self, weight: Tensor, levels: Tensor, product: Product, codes: Tensor) -> Tensor:
        """Return levels with less output error, ascending; in the shape and type of ``levels``."""
        r, c = self._of(levels)
        _, patterns = sliced_levels(r, c)
        basis = [p.to(weight.dtype) for p in slice_planes(codes, patterns)]
        if self._powers:
            basis = [sum((2.0**k * b for k, b in enumerate(basis)), torch.zeros(()))]
        basis.append(torch.ones_like(weight))
        scale = r[..., :1] if self._powers else r
        held = sum((_wide(s, weight) * b for s, b in zip(scale.unbind(-1), basis, strict=False)),
                   _wide(c, weight))  # fmt: skip
        pull = product(weight - held.to(weight.dtype))
        power = []
        for b in basis:
            other = product(b)
            power.append(torch.stack([self._sum(a * other, r) for a in basis], -1))
        right = torch.stack([self._sum(b * pull, r) for b in basis], -1)
        new, c = moved(torch.stack(power, -1), right, scale, c)
        if self._powers:
            new = new * 2.0 ** torch.arange(r.shape[-1])
        return self._remember(*canonical(new, c)).reshape(levels.shape).to(levels.dtype)

    def multipliers(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the multipliers and the offset of levels that were returned, as float32.

        Args:
            levels: Any shape that flattens to ``(v,)`` or ``(groups * columns, v)``.

        Returns:
            ``(n,)`` or ``(groups * columns, n)``; ``(1,)`` or ``(groups * columns,)``.
        """
        r, c = self._of(levels)
        return r.to(torch.float32), c.to(torch.float32).reshape(-1)

    def _remember(self, r: Tensor, c: Tensor) -> Tensor:
        # Levels are sums of what is stored, and that is float32.
        r, c = (x.to(torch.float32).double() for x in (r, c))
        levels, _ = sliced_levels(r, c)
        self._known.append((levels, r, c))
        return levels

    def _of(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        for known, r, c in reversed(self._known):
            if torch.equal(known, levels.reshape(known.shape).to(known.dtype)):
                return r, c
        raise AssertionError("levels that this refit did not return")

    def _sum(self, values: Tensor, r: Tensor) -> Tensor:
        """Sum over the weights that share levels: all, or those of a column."""
        wide = values.double()
        return wide.sum() if r.ndim == 1 else wide.sum(1).reshape(-1)


def _wide(value: Tensor, weight: Tensor) -> Tensor:
    """Return one number, or one a column, broadcast against ``(groups, rows, columns)``."""
    return value if value.ndim == 0 else value.reshape(len(weight), 1, -1)
