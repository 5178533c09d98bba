"""Quantized weights in training: latent float weights in, levels out, gradients straight through.

Each layer has one module that knows its levels and moves them: free levels are fitted again by
Lloyd's quantizer when weights have drifted [GDQ Alg. 1], levels in fixed proportions are scaled,
sums of multipliers are fitted again or learned [NM §3.2-3.4].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from cimc.errors import UsageError
from cimc.ir.layer import Codebook
from cimc.training import nearest
from cimc.training.projection import chunks, projection
from cimc.training.recipe import Recipe


class WeightLevels(nn.Module, ABC):
    """The levels of one layer's weights; everything that changes is a buffer or a parameter.

    Attributes:
        threshold: T of the projection test [-]; None: levels are never fitted again.
        regularized: In training mode weights stay float, and :meth:`penalty` draws them to
            levels; otherwise they are quantized.
        alpha: alpha_l of [NM Eq. 6], ``1 / sqrt(n_l Q_P)`` [-].
        usual: The projection when levels were fitted, float64 ``(1,)`` or ``(groups * columns,)``:
            1 where they were fitted to the weights, near it where they were to outputs.
    """

    usual: Tensor

    def __init__(
        self, weights: int, levels: int, *, threshold: float | None, regularized: bool
    ) -> None:
        super().__init__()
        self.threshold = None if regularized else threshold
        self.regularized = regularized
        # Q_P = 2^(b-1) - 1 for 2^b levels; at least 1, where 2 or 3 levels are all there are.
        self.alpha = 1.0 / math.sqrt(max(1, weights) * max(1, (levels - 1) // 2))
        self._last: Tensor | None = None
        self._ends: tuple[Tensor, int, Tensor] | None = None

    @torch.no_grad()
    def begin(self, matrix: Tensor) -> None:
        """Take the projection as it is for the usual one; subclasses call it when set up."""
        if self.threshold is not None:
            self.register_buffer("usual", self._usual(matrix))

    def _usual(self, matrix: Tensor) -> Tensor:
        found = self._projection(self.quantized(matrix), matrix)
        return torch.where(torch.isfinite(found) & (found > 0), found, 1.0)

    def _projection(self, held: Tensor, matrix: Tensor) -> Tensor:
        if matrix.numel() == 0:
            return torch.ones_like(self.limit(), dtype=torch.float64)
        return projection(held, matrix, by_column=self.table().ndim > 1)

    @abstractmethod
    def table(self) -> Tensor:
        """Return the levels, ascending, float32 ``(v,)`` or ``(groups * columns, v)``.

        Differentiable in the module's parameters, where it has some.
        """

    @abstractmethod
    def codebook(self, matrix: Tensor) -> Codebook:
        """Return levels and codes, equal to what :meth:`quantized` gives bit for bit.

        Args:
            matrix: Latent weights, float32 ``(groups, rows, columns)``.
        """

    @abstractmethod
    def fit(self, matrix: Tensor, columns: Tensor | None) -> None:
        """Fit the levels again.

        Args:
            matrix: Latent weights, float32 ``(groups, rows, columns)``.
            columns: Numbers of the columns to fit, where each has its own levels; None: all.
        """

    @torch.no_grad()
    def limit(self) -> Tensor:
        """Return the largest magnitude of the levels, ``(1,)`` or ``(groups * columns,)``.

        It is the weight that cells hold at full conductance.
        """
        return self.table().abs().amax(-1).reshape(-1)

    def forward(self, matrix: Tensor) -> Tensor:
        """Return the weights to compute with.

        Args:
            matrix: Latent weights, float32 ``(groups, rows, columns)``.

        Returns:
            The nearest level of each, of two equally near the lower one, in the memory order of
            ``matrix``.  The gradient goes to ``matrix`` as it is; to levels that are learned goes
            their derivative at fixed codes, times ``alpha`` as in LSQ.  Where the module is
            ``regularized`` and in training mode: ``matrix`` itself.
        """
        if self.regularized and self.training:
            return matrix
        table = self.table()
        ends = self._boundaries(table)
        result: Tensor
        if table.requires_grad:
            result = _Learned.apply(matrix, table, ends, self.alpha)  # type: ignore[no-untyped-call]
        else:
            result = _Straight.apply(matrix, table, ends)  # type: ignore[no-untyped-call]
        tested = self.threshold is not None and torch.is_grad_enabled() and matrix.requires_grad
        self._last = result.detach() if tested else None
        return result

    def _boundaries(self, table: Tensor) -> Tensor:
        """Return the end points between levels, worked out anew when levels have changed."""
        if table.requires_grad:
            return nearest.boundaries(table.detach())
        known = self._ends
        if known is None or known[0] is not table or known[1] != table._version:
            self._ends = known = (table, table._version, nearest.boundaries(table))
        return known[2]

    @torch.no_grad()
    def encode(self, matrix: Tensor) -> Tensor:
        """Return the code of the nearest level of each weight, uint8, in its memory order."""
        table = self.table()
        return nearest.encode(matrix, table, self._boundaries(table))

    @torch.no_grad()
    def quantized(self, matrix: Tensor) -> Tensor:
        """Return the nearest level of each weight, without gradient, in any mode."""
        return nearest.decode(self.encode(matrix), self.table())

    def penalty(self, matrix: Tensor) -> Tensor:
        """Return ``alpha_l * sum |w - Q(w)|^2`` [NM Eq. 6, 7], float32 ``()``.

        Differentiable in the weights and in the parameters of the levels.  Codes are constant
        almost everywhere, so the derivatives are exact there.
        """
        table = self.table()
        ends = self._boundaries(table)
        result: Tensor = _Penalty.apply(matrix, table, ends, self.alpha)  # type: ignore[no-untyped-call]
        return result

    @torch.no_grad()
    def after_step(self, matrix: Tensor) -> Tensor | None:
        """Test the projection of the weights on their levels; fit again where it is far from 1.

        ``r = |W^ * W|_1 / |W^ * W^|_1`` [GDQ Alg. 1]: weights ``W`` as they are now, ``W^`` the
        quantized ones of the last forward pass (or of now, where there was none).  A fresh Lloyd
        fit has ``r = 1``; codebooks fitted to outputs need not, so ``r`` is taken relative to what
        it was when the levels were fitted.

        Args:
            matrix: Latent weights after the step of the optimizer.

        Returns:
            None: nothing was fitted.  Otherwise the largest magnitude of the new levels divided
            by that of the old ones, float32 ``(1,)`` or ``(groups * columns,)``; 1 for columns
            that keep theirs.
        """
        last, self._last = self._last, None
        if self.threshold is None or matrix.numel() == 0:
            return None
        found = self._projection(self.quantized(matrix) if last is None else last, matrix)
        far = (found / self.usual - 1.0).abs() > self.threshold
        if not bool(far.any()):
            return None
        before = self.limit()
        self.fit(matrix, far.nonzero()[:, 0] if self.table().ndim > 1 else None)
        self.usual.copy_(torch.where(far, self._usual(matrix), self.usual))
        return torch.where(before > 0, self.limit() / before, 1.0)


class _Straight(torch.autograd.Function):
    """Nearest levels; nothing is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, table: Tensor, ends: Tensor) -> Tensor:
        return nearest.decode(nearest.encode(matrix, table, ends), table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


class _Learned(torch.autograd.Function):
    """Nearest levels that learn; codes are kept, a byte a weight."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, table: Tensor, ends: Tensor, alpha: float) -> Tensor:
        codes = nearest.encode(matrix, table, ends)
        ctx.save_for_backward(codes, table)
        ctx.alpha = alpha
        return nearest.decode(codes, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        codes, table = ctx.saved_tensors
        each = nearest.sums(gradient, codes, table) * ctx.alpha
        return gradient, each.to(table.dtype), None, None


class _Penalty(torch.autograd.Function):
    """Scaled squared distance to the nearest levels; codes are kept, a byte a weight."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, table: Tensor, ends: Tensor, alpha: float) -> Tensor:
        codes = nearest.encode(matrix, table, ends)
        ctx.save_for_backward(matrix, codes, table)
        ctx.alpha = alpha
        away = matrix - nearest.decode(codes, table)
        total = torch.zeros((), dtype=torch.float64, device=matrix.device)
        for part in chunks(away)[0]:
            total += torch.dot(part, part)
        return (alpha * total).to(matrix.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        matrix, codes, table = ctx.saved_tensors
        pull = (matrix - nearest.decode(codes, table)).mul_(gradient * (2.0 * ctx.alpha))
        each = None
        if ctx.needs_input_grad[1]:
            each = nearest.sums(pull, codes, table).neg_().to(table.dtype)
        return pull, each, None, None


def levels_of(
    codebook: Codebook,
    matrix: Tensor,
    recipe: Recipe,
    *,
    uniform: bool,
    states_us: tuple[float, ...] | None,
    encoding: str,
) -> WeightLevels:
    """Return the levels of a layer, to begin training with.

    They start as the codebook has them, which was fitted to the outputs where there were data; a
    learned step starts from a uniform fit where the codebook's multipliers are no powers of two.

    Args:
        codebook: The layer's, after quantization.
        matrix: Latent weights, float32 ``(groups, rows, columns)``.
        recipe: How levels move.
        uniform: Whether levels are equally spaced.
        states_us: The conductances a cell can hold, ascending [uS]; None: any.
        encoding: How cells hold a weight.

    Raises:
        UsageError: CIMC-U50, levels are to be learned that are not sums of multipliers; U52, sums
            of multipliers on cells whose fixed states are no bits.
    """
    # They are subclasses of what is defined here.
    from cimc.training.lloyd_levels import LloydLevels
    from cimc.training.scaled_levels import ScaledLevels
    from cimc.training.sum_levels import SumLevels

    threshold, regularized = recipe.threshold, recipe.quantization == "regularized"
    if codebook.multipliers is not None:
        if states_us is not None and encoding != "bit-sliced":
            raise UsageError(
                "CIMC-U52",
                f"sums of multipliers on cells with {len(states_us)} fixed states ({encoding})",
                hint="the quantizer lloyd or uniform, whose levels fixed states can hold",
            )
        return SumLevels(
            codebook, matrix, recipe.levels,
            powers=uniform, threshold=threshold, regularized=regularized,
        )  # fmt: skip
    if recipe.levels != "fixed":
        raise UsageError(
            "CIMC-U50",
            f"levels: {recipe.levels} asked for, and the levels are no sums of multipliers",
            hint="levels: fixed, or the quantizer n-multiplier",
        )
    if uniform or (states_us is not None and encoding != "bit-sliced"):
        states = None if states_us is None else tuple(states_us)
        return ScaledLevels(
            codebook, matrix, states, offset=encoding == "offset-column",
            threshold=threshold, regularized=regularized,
        )  # fmt: skip
    return LloydLevels(codebook, matrix, threshold=threshold, regularized=regularized)
