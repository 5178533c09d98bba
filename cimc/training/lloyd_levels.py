"""Free levels, fitted by Lloyd's quantizer when weights have drifted [GDQ Alg. 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.columns import lloyd_columns
from cimc.quantizers.lloyd import lloyd
from cimc.training import nearest
from cimc.training.weight_levels import WeightLevels


class LloydLevels(WeightLevels):
    """Levels without constraint: where the codebook has them, then where Lloyd's quantizer does.

    Args:
        codebook: Levels to begin with, of a layer or of each column.
        matrix: Weights, float32 ``(groups, rows, columns)``.
        threshold: T of the projection test [-].
        regularized: See :class:`WeightLevels`.
    """

    levels: Tensor

    def __init__(
        self, codebook: Codebook, matrix: Tensor, *, threshold: float, regularized: bool = False
    ) -> None:
        count = codebook.levels.shape[-1]
        super().__init__(matrix.numel(), count, threshold=threshold, regularized=regularized)
        self.register_buffer("levels", codebook.levels.to(matrix.device, torch.float32).clone())
        self.begin(matrix)

    def table(self) -> Tensor:
        """Return the levels; those beyond the distinct values of the weights repeat the last."""
        return self.levels

    def codebook(self, matrix: Tensor) -> Codebook:
        """Return levels and codes; see :meth:`WeightLevels.codebook`."""
        return Codebook(self.levels.clone(), self.encode(matrix).contiguous())

    @torch.no_grad()
    def fit(self, matrix: Tensor, columns: Tensor | None) -> None:
        """Fit the levels to the weights; see :meth:`WeightLevels.fit`."""
        count = self.levels.shape[-1]
        if self.levels.ndim == 1:
            # Sorting is all that order matters for: memory order needs no copy.
            found = lloyd(nearest.dense(matrix).values, count).levels
            padded = np.pad(found, (0, count - found.size), mode="edge")
            self.levels.copy_(torch.from_numpy(padded))
            return
        flat = columns_of(matrix, columns)
        fitted = torch.from_numpy(lloyd_columns(flat, count).levels).to(self.levels.device)
        if columns is None:
            self.levels.copy_(fitted)
        else:
            self.levels[columns] = fitted


def columns_of(matrix: Tensor, columns: Tensor | None) -> Tensor:
    """Return the columns of all groups side by side, or some, ``(rows, columns)``."""
    flat = matrix.detach().movedim(0, 1).reshape(matrix.shape[1], -1)
    return (flat if columns is None else flat[:, columns]).contiguous()
