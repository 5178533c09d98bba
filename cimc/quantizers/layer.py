"""Quantize one layer: which quantizer, how many levels, for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.columns import ColumnsResult, lloyd_columns
from cimc.quantizers.feedback import damped
from cimc.quantizers.lloyd import LloydResult, lloyd
from cimc.quantizers.outputs import Block, Refit, fit_outputs
from cimc.quantizers.refit import refit, refit_scale
from cimc.quantizers.uniform import UniformResult, uniform, uniform_columns


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
        return self._start(matrix, None)

    def from_outputs(self, matrix: Tensor, blocks: Sequence[Block]) -> Codebook:
        """Return a codebook with little error of the outputs.

        Args:
            matrix: Float weights, ``(groups, rows, columns)``.
            blocks: Rows and the second moments of their inputs, ``(groups, n, n)``, or the
                covariances where means are corrected; the rows of different blocks are taken as
                uncorrelated.

        Raises:
            UsageError: CIMC-U34, blocks that do not belong to the matrix.
        """
        if not blocks or matrix.numel() == 0:
            return self.from_weights(matrix)
        curvature = torch.cat([damped(h).diagonal(dim1=1, dim2=2) for _, h in blocks], 1)
        start = self._start(matrix, curvature.to(matrix.dtype))
        groups, _, columns = matrix.shape
        levels = start.levels
        if levels.ndim == 2:
            levels = levels.reshape(groups, columns, -1)
        move: Refit = refit_scale if self.quantizer == "uniform" else refit
        values = matrix.contiguous()
        fit = fit_outputs(values, levels.to(values.dtype), blocks, refit_levels=move)
        return Codebook(_flat(fit.levels), fit.codes)

    def _start(self, matrix: Tensor, curvature: Tensor | None) -> Codebook:
        """Fit levels to weights, each row as important as its curvature ``(groups, rows)``."""
        if not self.per_column:
            importance = None if curvature is None else curvature[:, :, None].expand_as(matrix)
            return self._whole(matrix.contiguous(), importance)
        levels, codes = [], []
        for group, values in enumerate(matrix):
            result = self._columns(values, None if curvature is None else curvature[group])
            levels.append(torch.from_numpy(result.levels))
            codes.append(torch.from_numpy(result.codes(values)))
        return Codebook(torch.cat(levels), torch.stack(codes))

    def _whole(self, values: Tensor, importance: Tensor | None) -> Codebook:
        result: LloydResult | UniformResult
        if self.quantizer == "uniform":
            result = uniform(values, self.levels)
        else:
            result = lloyd(values, self.levels, weights=importance)
        return Codebook(torch.from_numpy(result.levels), torch.from_numpy(result.codes(values)))

    def _columns(self, values: Tensor, rows: Tensor | None) -> ColumnsResult | UniformResult:
        if self.quantizer == "uniform":
            return uniform_columns(values, self.levels)
        return lloyd_columns(values, self.levels, weights=rows)


def _flat(levels: Tensor) -> Tensor:
    """Return levels as a codebook holds them, float32 ``(v,)`` or ``(groups * columns, v)``."""
    wide = levels if levels.ndim == 1 else levels.reshape(-1, levels.shape[-1])
    return wide.to(torch.float32).contiguous()
