"""Fit a codebook and codes to the outputs of a layer, given the second moments of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cimc.errors import UsageError
from cimc.quantizers.feedback import DAMP, check_moments, damped, decoded, descend, feedback
from cimc.quantizers.refit import Product, refit, sort_levels
from cimc.quantizers.threads import one_thread

#: Moves levels for fixed codes: weight, levels, product with H, codes -> levels.
Refit = Callable[[Tensor, Tensor, Product, Tensor], Tensor]

#: Rows of a matrix and the second moments of their inputs, ``(groups, n, n)``.
Block = tuple[slice, Tensor]

#: Added to the diagonal when weights are retargeted: moments of samples are not exact.
DAMP_RETARGET: Final = 0.1

#: Alternations of codes and levels, and the relative gain below which they stop.
ROUNDS: Final = 4
GAIN: Final = 2e-3


@dataclass(frozen=True, slots=True)
class OutputFit:
    """A codebook fitted to outputs.

    Attributes:
        levels: Ascending, ``(v,)`` or ``(groups, columns, v)``.
        codes: Index of each weight's level, uint8 ``(groups, rows, columns)``.
        error: Output error as a share of the energy of the outputs, see :func:`output_error`.
        rounds: Alternations of codes and levels done [-].
    """

    levels: Tensor
    codes: Tensor
    error: float
    rounds: int


def centered(second_moment: Tensor, mean: Tensor) -> Tensor:
    """Return the covariance of the inputs, ``(groups, rows, rows)``.

    A constant error of an output is taken out digitally, by the bias (see
    :func:`bias_correction`), so only how inputs vary around their mean counts.

    Args:
        second_moment: Mean outer product of the inputs, ``(groups, rows, rows)``.
        mean: Mean input, ``(groups, rows)``.
    """
    return second_moment - mean[:, :, None] * mean[:, None, :]


def bias_correction(weight: Tensor, quantized: Tensor, mean: Tensor) -> Tensor:
    """Return what to add to each output so that its mean is that of the float layer.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        quantized: Quantized weights, same shape.
        mean: Mean input of the layer, ``(groups, rows)``.

    Returns:
        Mean output difference, ``(groups, columns)``.
    """
    return torch.einsum("gr,grc->gc", mean, weight - quantized)


def retarget(
    weight: Tensor, second_moment: Tensor, cross_moment: Tensor, *, damp: float = DAMP_RETARGET
) -> Tensor:
    """Return the weights that best give the float outputs from the inputs there really are.

    Downstream of quantized layers the inputs are not those of the float network.  What is linear
    in that difference, float weights can make good before they are quantized: the least-squares
    weights solve ``H W' = C W``.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        second_moment: H of the inputs as they are, ``(groups, rows, rows)``.
        cross_moment: C, mean outer product of the inputs as they are (rows) with those of the
            float network (columns), ``(groups, rows, rows)``; both centered, or neither.
        damp: Share of its mean added to the diagonal of both, which pulls towards ``weight``.

    Raises:
        UsageError: CIMC-U34, moments that do not belong to the weight.
    """
    check_moments(weight, second_moment)
    check_moments(weight, cross_moment.abs())
    h = damped(second_moment.double(), damp)
    added = (h - second_moment).diagonal(dim1=1, dim2=2)
    wanted = cross_moment.double() @ weight.double() + added[:, :, None] * weight.double()
    factor, failed = torch.linalg.cholesky_ex(h)
    if bool(failed.any()):
        return weight
    solved: Tensor = torch.cholesky_solve(wanted, factor)
    return solved.to(weight.dtype)


def fit_outputs(
    weight: Tensor,
    levels: Tensor,
    second_moment: Tensor | Sequence[Block],
    *,
    damp: float = DAMP,
    rounds: int = ROUNDS,
    refit_levels: Refit | None = refit,
) -> OutputFit:
    """Alternate between codes and levels until the output error stops falling.

    Each round: codes by error feedback, polished by coordinate descent; then levels by least
    squares.  The best round is returned, so more rounds are never worse.

    Args:
        weight: Float weights, ``(groups, rows, columns)``.
        levels: Levels to start from, ascending, ``(v,)`` or ``(groups, columns, v)``.
        second_moment: Mean outer product (or covariance) of the inputs, ``(groups, rows, rows)``;
            or blocks that cover the rows in order, inputs of different blocks uncorrelated.
        damp: Share of its mean added to the diagonal of the second moment.
        rounds: At most this many rounds.
        refit_levels: How levels move; None: they are fixed, and one round is done.

    Raises:
        UsageError: CIMC-U34, second moments of another shape, not finite, or not semidefinite.
    """
    blocks = _damped_blocks(weight, second_moment, damp)

    def product(x: Tensor) -> Tensor:
        return torch.cat([h @ x[:, rows] for rows, h in blocks], 1)

    energy = float((weight * product(weight)).sum(dtype=torch.float64))
    best: OutputFit | None = None
    for done in range(1, rounds + 1):
        codes = torch.cat([_codes(weight[:, rows], levels, h) for rows, h in blocks], 1)
        difference = weight - decoded(codes, levels)
        lost = float((difference * product(difference)).sum(dtype=torch.float64))
        error = lost / energy if energy > 0 else 0.0
        gained = best is None or error < best.error * (1.0 - GAIN)
        if best is None or error < best.error:
            best = OutputFit(levels, codes, error, done)
        if refit_levels is None or not gained:
            break
        levels, _ = sort_levels(refit_levels(weight, levels, product, codes), codes)
    assert best is not None
    return best


def _codes(weight: Tensor, levels: Tensor, h: Tensor) -> Tensor:
    weight = weight.contiguous()
    with one_thread():
        return descend(weight, levels, h, feedback(weight, levels, h))


def _damped_blocks(
    weight: Tensor, second_moment: Tensor | Sequence[Block], damp: float
) -> list[Block]:
    """Return checked and damped blocks.

    Raises:
        UsageError: CIMC-U34.
    """
    rows = weight.shape[1]
    if isinstance(second_moment, Tensor):
        blocks = [(slice(0, rows), second_moment)]
    else:
        blocks = list(second_moment)
    at = 0
    for part, h in blocks:
        if part.start != at:
            break
        check_moments(weight[:, part], h)
        at = part.stop
    if at != rows:
        message = f"blocks of second moments cover {at} of {rows} rows in order"
        raise UsageError("CIMC-U34", message)
    return [(part, damped(h.to(weight.dtype), damp)) for part, h in blocks]
