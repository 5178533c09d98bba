"""Levels that are sums of multipliers, fixed or learned [NM §3.2-3.4]."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cimc.device.slices import sliced_levels
from cimc.ir.layer import Codebook
from cimc.quantizers.n_multiplier import (
    NMultiplierResult,
    n_multiplier,
    n_multiplier_columns,
    powers_of_two,
)
from cimc.quantizers.uniform import uniform, uniform_columns
from cimc.training import nearest
from cimc.training.lloyd_levels import columns_of
from cimc.training.weight_levels import WeightLevels


class SumLevels(WeightLevels):
    """Levels ``<r, S> + c`` with ``S`` in ``{0, 1}^n`` [NM Eq. 2-4].

    Three variants: ``fixed`` multipliers, as they were fitted to the weights (powers of two where
    levels are uniform), fitted again when weights drift, unless ``regularized``; a learned
    ``step``, multipliers ``step * (1, 2, 4, ...)`` [NM Eq. 3]; learned ``multipliers`` [NM Eq. 4].
    Where something is learned, so is the offset ``c``.

    What is learned is relative to the largest magnitude of the first levels, so that one learning
    rate suits all layers.  While they learn, multipliers may become negative and levels change
    places: the search sorts levels, and the codebook folds ``r < 0`` into ``c``.

    Args:
        codebook: With multipliers, of a layer or of each column.
        matrix: Weights, float32 ``(groups, rows, columns)``.
        learned: The variant.
        powers: Levels are uniform: multipliers are fitted as powers of two.
        threshold: T of the projection test, where multipliers are fixed [-].
        regularized: See :class:`WeightLevels`.
    """

    size: Tensor
    ratios: Tensor

    def __init__(
        self,
        codebook: Codebook,
        matrix: Tensor,
        learned: Literal["fixed", "step", "multipliers"],
        *,
        powers: bool = False,
        threshold: float,
        regularized: bool = False,
    ) -> None:
        assert codebook.multipliers is not None
        assert codebook.offset is not None
        count = codebook.levels.shape[-1]
        super().__init__(
            matrix.numel(),
            count,
            threshold=threshold if learned == "fixed" else None,
            regularized=regularized,
        )
        self.learned, self._powers = learned, powers
        r = codebook.multipliers.to(matrix.device, torch.float32)
        c = codebook.offset.to(matrix.device, torch.float32).reshape(r.shape[:-1])
        if learned == "step" and not _doubling(r) and matrix.numel():
            r, c = _fitted(matrix, r, None, powers=True)
        size = torch.maximum(c.abs(), (c + r.sum(-1)).abs())
        size = torch.where(size > 0, size, 1.0)
        self.register_buffer("size", size if learned != "fixed" else torch.ones_like(size))
        n = r.shape[-1]
        doubling = 2.0 ** torch.arange(n, dtype=torch.float32, device=r.device)
        self.register_buffer(
            "ratios", doubling if learned == "step" else torch.ones_like(r[..., :1])
        )
        relative = (r[..., :1] if learned == "step" else r) / self.size[..., None]
        offset = (c / self.size).reshape(-1)
        if learned == "fixed":
            self.register_buffer("multipliers", relative)
            self.register_buffer("offset", offset)
        else:
            self.multipliers = nn.Parameter(relative)
            self.offset = nn.Parameter(offset)
        self.begin(matrix)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return ``r``, of any sign, ``(n,)`` or ``(columns, n)``, and ``c``, an axis less."""
        r = self.multipliers * self.size[..., None] * self.ratios
        return r, self.offset.reshape(self.size.shape) * self.size

    def canonical(self) -> tuple[Tensor, Tensor]:
        """Return ``r`` and ``c`` of the same levels, no ``r`` negative, ascending."""
        r, c = self.sums()
        negative = r < 0
        folded = torch.where(negative, -r, r)
        c = c + torch.where(negative, r, torch.zeros_like(r)).sum(-1)
        return folded.sort(dim=-1, stable=True).values, c

    def table(self) -> Tensor:
        """Return the levels, differentiable in what is learned."""
        return sliced_levels(*self.canonical())[0]

    @torch.no_grad()
    def codebook(self, matrix: Tensor) -> Codebook:
        """Return levels, codes, multipliers and offset; see :meth:`WeightLevels.codebook`."""
        r, c = self.canonical()
        levels, _ = sliced_levels(r, c)
        codes = nearest.encode(matrix, levels).contiguous()
        return Codebook(levels, codes, r.clone(), c.reshape(-1).clone())

    @torch.no_grad()
    def fit(self, matrix: Tensor, columns: Tensor | None) -> None:
        """Fit multipliers and offset to the weights; see :meth:`WeightLevels.fit`."""
        assert self.learned == "fixed", "levels that learn are not fitted"
        r, c = _fitted(matrix, self.multipliers, columns, powers=self._powers)
        if columns is None:
            self.multipliers.copy_(r)
            self.offset.copy_(c.reshape(-1))
        else:
            self.multipliers[columns], self.offset[columns] = r, c


def _doubling(r: Tensor) -> bool:
    """Return whether each multiplier is twice the one before."""
    return bool(torch.equal(r[..., 1:], 2.0 * r[..., :-1]))


def _fitted(
    matrix: Tensor, like: Tensor, columns: Tensor | None, *, powers: bool
) -> tuple[Tensor, Tensor]:
    """Return multipliers in the shape of ``like`` (or of some columns), and offsets."""
    n = like.shape[-1]
    found: NMultiplierResult
    if like.ndim == 1:
        values = nearest.dense(matrix).values
        if powers:
            found = powers_of_two(uniform(values, 2**n), n)
        else:
            found = n_multiplier(values, 2**n)
    else:
        flat = columns_of(matrix, columns)
        if powers:
            found = powers_of_two(uniform_columns(flat, 2**n), n)
        else:
            found = n_multiplier_columns(flat, 2**n)
    r, c = (torch.from_numpy(np.asarray(a)) for a in (found.multipliers, found.offset))
    return r.to(like.device), c.to(like.device)
