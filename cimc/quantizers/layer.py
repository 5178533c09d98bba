"""Quantize one layer: which quantizer, how many levels, for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cimc.ir.layer import Codebook
from cimc.quantizers.codes import boundaries, encode_columns
from cimc.quantizers.columns import ColumnsResult, lloyd_columns
from cimc.quantizers.constrained import ConstrainedResult, constrained
from cimc.quantizers.feedback import damped
from cimc.quantizers.lloyd import LloydResult, lloyd
from cimc.quantizers.n_multiplier import (
    NMultiplierResult,
    n_multiplier,
    n_multiplier_columns,
    powers_of_two,
    slices_of,
)
from cimc.quantizers.outputs import Block, Refit, fit_outputs
from cimc.quantizers.prior import fit_without_data
from cimc.quantizers.refit import refit, refit_scale
from cimc.quantizers.slice_refit import SliceRefit
from cimc.quantizers.uniform import UniformResult, uniform, uniform_columns

#: Levels beyond which rounding is so fine that expected inputs make no difference.
MOST_WITH_PRIOR: Final = 64


@dataclass(frozen=True, slots=True)
class LayerQuantizer:
    """How the layers of a network are quantized.

    Attributes:
        quantizer: ``lloyd``, ``n-multiplier`` or ``uniform``.
        levels: Levels of a codebook, 2 to 256 [-].
        per_column: Each output column has its own codebook.
        states_us: The conductances a cell can hold [uS], ascending; None: any.
        encoding: How cells hold a weight; bit-sliced: levels are sums of multipliers, whatever
            the quantizer.
    """

    quantizer: str
    levels: int
    per_column: bool = False
    states_us: tuple[float, ...] | None = None
    encoding: str = "differential-pair"

    def from_weights(self, matrix: Tensor, kernel: tuple[int, ...] = ()) -> Codebook:
        """Return a codebook fitted without data.

        The levels are those with the least error of the weights; the codes are chosen for the
        outputs, with inputs as they can be expected (:mod:`cimc.quantizers.prior`).

        Args:
            matrix: Float weights, ``(groups, rows, columns)``.
            kernel: Spatial sizes of the kernel where rows are channels times kernel positions.
        """
        start = self._start(matrix, None)
        if self.levels > MOST_WITH_PRIOR or matrix.numel() == 0:
            return start
        values = matrix.contiguous()
        levels = _stacked(start.levels, values).to(values.dtype)
        move = self._refit(start)
        levels, codes = fit_without_data(values, levels, kernel, refit_levels=move)
        return _codebook(levels, codes, move)

    def _refit(self, start: Codebook) -> Refit:
        """Return how levels may move: freely, all in proportion, or with their multipliers."""
        if start.multipliers is not None and start.offset is not None:
            powers = self.quantizer == "uniform"
            return SliceRefit(start.multipliers, start.offset, powers=powers)
        proportional = self.quantizer == "uniform" or self.states_us is not None
        return refit_scale if proportional else refit

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
            return self._start(matrix, None)
        curvature = torch.cat([damped(h).diagonal(dim1=1, dim2=2) for _, h in blocks], 1)
        start = self._start(matrix, curvature.to(matrix.dtype))
        values = matrix.contiguous()
        levels = _stacked(start.levels, values).to(values.dtype)
        move = self._refit(start)
        fit = fit_outputs(values, levels, blocks, refit_levels=move)
        return _codebook(fit.levels, fit.codes, move)

    def _start(self, matrix: Tensor, curvature: Tensor | None) -> Codebook:
        """Fit levels to weights, each row as important as its curvature ``(groups, rows)``."""
        if self.encoding == "bit-sliced" or self.quantizer == "n-multiplier":
            return self._sums(matrix, curvature)
        if self.per_column and self.states_us is not None:
            return self._scaled_columns(matrix, curvature)
        if not self.per_column:
            importance = None if curvature is None else curvature[:, :, None].expand_as(matrix)
            return self._whole(matrix.contiguous(), importance)
        levels, codes = [], []
        for group, values in enumerate(matrix):
            result = self._columns(values, None if curvature is None else curvature[group])
            levels.append(torch.from_numpy(result.levels))
            codes.append(torch.from_numpy(result.codes(values)))
        return Codebook(torch.cat(levels), torch.stack(codes))

    def _sums(self, matrix: Tensor, curvature: Tensor | None) -> Codebook:
        """Fit levels that are sums of multipliers."""
        if not self.per_column:
            importance = None if curvature is None else curvature[:, :, None].expand_as(matrix)
            found = self._one_sum(matrix.contiguous(), importance)
            return _of_sums([found], torch.from_numpy(found.codes(matrix)))
        columns, codes = [], []
        for group, values in enumerate(matrix):
            rows = None if curvature is None else curvature[group]
            columns.append(self._column_sums(values, rows))
            codes.append(torch.from_numpy(columns[-1].codes(values)))
        return _of_sums(columns, torch.stack(codes))

    def _one_sum(self, values: Tensor, importance: Tensor | None) -> NMultiplierResult:
        if self.quantizer == "uniform":
            return powers_of_two(uniform(values, self.levels), slices_of(self.levels))
        return n_multiplier(values, self.levels, weights=importance)

    def _column_sums(self, values: Tensor, rows: Tensor | None) -> NMultiplierResult:
        if self.quantizer == "uniform":
            return powers_of_two(uniform_columns(values, self.levels), slices_of(self.levels))
        return n_multiplier_columns(values, self.levels, weights=rows)

    def _whole(self, values: Tensor, importance: Tensor | None) -> Codebook:
        result: LloydResult | UniformResult | ConstrainedResult
        if self.states_us is not None:
            offset = self.encoding == "offset-column"
            result = constrained(
                values, self.levels, self.states_us, weights=importance, offset=offset
            )
        elif self.quantizer == "uniform":
            result = uniform(values, self.levels)
        else:
            result = lloyd(values, self.levels, weights=importance)
        return Codebook(torch.from_numpy(result.levels), torch.from_numpy(result.codes(values)))

    def _scaled_columns(self, matrix: Tensor, curvature: Tensor | None) -> Codebook:
        """Fit one choice of states to all columns, and a scale to each."""
        size = matrix.abs().amax(1)
        size = torch.where(size > 0, size, 1.0)[:, None]
        importance = None if curvature is None else curvature[:, :, None].expand_as(matrix)
        shared = self._whole((matrix / size).contiguous(), importance)
        levels = shared.levels * size[:, 0, :, None]
        weight = torch.ones(matrix.shape[:2]) if curvature is None else curvature

        def product(x: Tensor) -> Tensor:
            return weight[:, :, None] * x

        levels = refit_scale(matrix, levels, product, shared.codes)
        codes = [
            torch.from_numpy(encode_columns(values, boundaries(table.numpy())))
            for values, table in zip(matrix, levels.to(torch.float32), strict=True)
        ]
        return Codebook(_flat(levels), torch.stack(codes))

    def _columns(self, values: Tensor, rows: Tensor | None) -> ColumnsResult | UniformResult:
        if self.quantizer == "uniform":
            return uniform_columns(values, self.levels)
        return lloyd_columns(values, self.levels, weights=rows)


def _of_sums(found: list[NMultiplierResult], codes: Tensor) -> Codebook:
    """Return the codebook of a layer, or of the columns of each group."""
    one = found[0].levels.ndim == 1
    join = np.concatenate
    levels = found[0].levels if one else join([f.levels for f in found])
    multipliers = found[0].multipliers if one else join([f.multipliers for f in found])
    offset = np.atleast_1d(found[0].offset) if one else join([f.offset for f in found])
    tables = [torch.from_numpy(table) for table in (levels, multipliers, offset)]
    return Codebook(tables[0], codes, tables[1], tables[2])


def _codebook(levels: Tensor, codes: Tensor, move: Refit) -> Codebook:
    """Return the codebook of levels that a fit chose."""
    sums = move.multipliers(levels) if isinstance(move, SliceRefit) else (None, None)
    return Codebook(_flat(levels), codes, *sums)


def _stacked(levels: Tensor, matrix: Tensor) -> Tensor:
    """Return a codebook's levels as the fits take them, ``(v,)`` or ``(groups, columns, v)``."""
    return levels if levels.ndim == 1 else levels.reshape(len(matrix), matrix.shape[2], -1)


def _flat(levels: Tensor) -> Tensor:
    """Return levels as a codebook holds them, float32 ``(v,)`` or ``(groups * columns, v)``."""
    wide = levels if levels.ndim == 1 else levels.reshape(-1, levels.shape[-1])
    return wide.to(torch.float32).contiguous()
