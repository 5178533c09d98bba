"""Second moments of a layer's inputs, in blocks where the whole would not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from cimc.quantizers.outputs import retarget

#: Inputs up to which the second moments are kept whole; beyond, blocks of this many rows.
WHOLE_ROWS: Final = 4608


@dataclass(slots=True)
class Curvature:
    """Sums over input vectors.

    Attributes:
        groups: Matrices in the stack [-].
        rows: Inputs of one matrix [-].
        centered: Whether :meth:`blocks` returns covariances: a constant error of an output is
            then taken out by a bias.
        count: Vectors seen [-].
    """

    groups: int
    rows: int
    centered: bool = False
    count: int = 0
    _sums: list[Tensor] = field(default_factory=list)
    _mean: Tensor | None = None
    _cross: list[Tensor] = field(default_factory=list)
    _wanted_mean: Tensor | None = None

    def _ranges(self) -> list[slice]:
        starts = range(0, self.rows, WHOLE_ROWS)
        return [slice(s, min(s + WHOLE_ROWS, self.rows)) for s in starts]

    def add(self, x: Tensor, wanted: Tensor | None = None) -> None:
        """Take in input vectors, and those of the float network, float32 ``(n, groups, rows)``."""
        parts = [torch.einsum("ngr,ngs->grs", x[:, :, r], x[:, :, r]) for r in self._ranges()]
        total = x.sum(0)
        self._sums = (
            [a + b for a, b in zip(self._sums, parts, strict=True)] if self._sums else parts
        )
        self._mean = total if self._mean is None else self._mean + total
        self.count += len(x)
        if wanted is not None:
            self._add_wanted(x, wanted)

    def _add_wanted(self, x: Tensor, wanted: Tensor) -> None:
        parts = [torch.einsum("ngr,ngs->grs", x[:, :, r], wanted[:, :, r]) for r in self._ranges()]
        total = wanted.sum(0)
        first = self._wanted_mean is None
        self._cross = parts if first else [a + b for a, b in zip(self._cross, parts, strict=True)]
        self._wanted_mean = total if self._wanted_mean is None else self._wanted_mean + total

    def retargeted(self, weight: Tensor) -> Tensor:
        """Return weights for the inputs there are (:func:`cimc.quantizers.retarget`).

        Args:
            weight: Float weights, ``(groups, rows, columns)``; returned as they are when nothing
                is known of the inputs of the float network, or no vector was seen.
        """
        blocks = self.blocks()
        if not blocks or self._wanted_mean is None or self._mean is None:
            return weight
        mean, wanted = self._mean / self.count, self._wanted_mean / self.count
        parts = []
        for (rows, h), total in zip(blocks, self._cross, strict=True):
            cross = total / self.count
            if self.centered:
                cross = cross - mean[:, rows][:, :, None] * wanted[:, rows][:, None, :]
            parts.append(retarget(weight[:, rows], h, cross))
        return torch.cat(parts, 1)

    def plus(self, other: Curvature) -> Curvature:
        """Return the curvature of both lots of vectors."""
        result = Curvature(self.groups, self.rows, self.centered and other.centered)
        result.count = self.count + other.count
        result._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        assert self._mean is not None
        assert other._mean is not None
        result._mean = self._mean + other._mean
        return result

    def blocks(self) -> list[tuple[slice, Tensor]]:
        """Return rows and their second moments (or covariances), ``(groups, n, n)`` each."""
        if not self.count or self._mean is None:
            return []
        mean = self._mean / self.count
        found = []
        for rows, total in zip(self._ranges(), self._sums, strict=True):
            h = total / self.count
            if self.centered:
                part = mean[:, rows]
                h = h - part[:, :, None] * part[:, None, :]
                # An input that hardly varies about a large mean: the difference of two large
                # float32 sums may fall below zero.
                h.diagonal(dim1=1, dim2=2).clamp_(min=0)
            found.append((rows, h))
        return found
