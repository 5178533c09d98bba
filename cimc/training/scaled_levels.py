"""Levels in fixed proportions: equally spaced, or what cells of fixed states can hold."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.constrained import constrained
from cimc.training import nearest
from cimc.training.weight_levels import WeightLevels

#: Shares of the present scale that a fit starts from, and alternations of codes and scale.
_STARTS: Final = tuple(2.0 ** (k / 4) for k in range(-8, 9))
_ROUNDS: Final = 8


class ScaledLevels(WeightLevels):
    """Levels whose proportions stay as the codebook has them; their scale is fitted.

    A weight on cells of fixed states is a difference of two of them times a scale, so levels may
    be scaled, and nothing else; the same keeps levels equally spaced.  Where a layer has one
    codebook and fixed states, the choice of differences is made anew with the scale.

    Args:
        codebook: The levels, of a layer or of each column.
        matrix: Weights, float32 ``(groups, rows, columns)``.
        states_us: Conductances of a cell, ascending [uS]; None: any, levels are equally spaced.
        offset: Cells stand beside an offset column, instead of in pairs.
        threshold: T of the projection test [-].
        regularized: See :class:`WeightLevels`.
    """

    levels: Tensor

    def __init__(
        self,
        codebook: Codebook,
        matrix: Tensor,
        states_us: tuple[float, ...] | None = None,
        *,
        offset: bool = False,
        threshold: float,
        regularized: bool = False,
    ) -> None:
        count = codebook.levels.shape[-1]
        super().__init__(matrix.numel(), count, threshold=threshold, regularized=regularized)
        self._states, self._offset = states_us, offset
        self.register_buffer("levels", codebook.levels.to(matrix.device, torch.float32).clone())
        self.begin(matrix)

    def table(self) -> Tensor:
        """Return the levels."""
        return self.levels

    def codebook(self, matrix: Tensor) -> Codebook:
        """Return levels and codes; see :meth:`WeightLevels.codebook`."""
        return Codebook(self.levels.clone(), self.encode(matrix).contiguous())

    @torch.no_grad()
    def fit(self, matrix: Tensor, columns: Tensor | None) -> None:
        """Fit the scale to the weights; see :meth:`WeightLevels.fit`."""
        if self._states is not None and self.levels.ndim == 1:
            values, count = nearest.dense(matrix).values, self.levels.shape[-1]
            found = constrained(values, count, self._states, offset=self._offset).levels
            if found.size == count:
                self.levels.copy_(torch.from_numpy(found))
                return
        best, least = self.levels, torch.full(self.levels.shape[:-1], torch.inf).double()
        for share in _STARTS:
            levels = self.levels * share
            for _ in range(_ROUNDS):
                error, scale = _scale(matrix, levels)
                better = error < least
                least = torch.where(better, error, least)
                best = torch.where(better[..., None], levels, best)
                levels = (levels * scale[..., None]).to(torch.float32)
        if columns is None:
            self.levels.copy_(best)
        else:
            self.levels[columns] = best[columns]


def _scale(matrix: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared error, and what to scale levels by, ``()`` or ``(columns,)``, float64."""
    codes = nearest.encode(matrix, levels)
    wide = levels.double()
    wanted = (nearest.sums(matrix, codes, levels) * wide).sum(-1)
    count = nearest.sums(torch.ones_like(matrix), codes, levels)
    power = (count * wide * wide).sum(-1)
    scale = torch.where((power > 0) & (wanted > 0), wanted / power, 1.0)
    return power - 2.0 * wanted, scale
