"""Quantize one layer: which quantizer, how many levels, for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.lloyd import lloyd
from cimc.quantizers.outputs import fit_outputs
from cimc.quantizers.refit import refit
from cimc.quantizers.uniform import uniform


@dataclass(frozen=True, slots=True)
class LayerQuantizer:
    """How the layers of a network are quantized.

    Attributes:
        quantizer: ``lloyd`` or ``uniform``.
        levels: Levels of a codebook, 2 to 256 [-].
        per_column: Each output column has its own codebook.
        states_us: The conductances a cell can hold [uS], ascending; None: any.
    """

    quantizer: str
    levels: int
    per_column: bool = False
    states_us: tuple[float, ...] | None = None

    def from_weights(self, matrix: Tensor) -> Codebook:
        """Return the codebook with the least error of the weights.

        Args:
            matrix: Float weights, ``(groups, rows, columns)``.
        """
        matrix = matrix.contiguous()
        fit = uniform if self.quantizer == "uniform" else lloyd
        result = fit(matrix, self.levels)
        codes = torch.from_numpy(result.codes(matrix)).reshape(matrix.shape)
        return Codebook(torch.from_numpy(result.levels), codes)

    def from_outputs(self, matrix: Tensor, blocks: Sequence[tuple[slice, Tensor]]) -> Codebook:
        """Return a codebook with little error of the outputs.

        Args:
            matrix: Float weights, ``(groups, rows, columns)``.
            blocks: Rows and the second moments of their inputs, ``(groups, n, n)``; the rows of
                different blocks are taken as uncorrelated.
        """
        start = self.from_weights(matrix)
        if not blocks or len(start.levels) < 2:
            return start
        if len(blocks) == 1:
            moves = refit if self.quantizer == "lloyd" else None  # uniform levels stay uniform
            h = blocks[0][1]
            fitted = fit_outputs(matrix.contiguous(), start.levels, h, refit_levels=moves)
            return Codebook(fitted.levels, fitted.codes)
        parts = [
            fit_outputs(matrix[:, rows].contiguous(), start.levels, h, refit_levels=None).codes
            for rows, h in blocks
        ]
        return Codebook(start.levels, torch.cat(parts, dim=1))
