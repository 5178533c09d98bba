"""Losses, as trained networks still carry them in evaluation graphs."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cimc.errors import ModelError
from cimc.ops.operator import Operator


def negative_log_likelihood_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the log probabilities of the targets.

    Args:
        x: Log probabilities, ``(batch, classes, ...)``.
        target: Class of each sample, integer ``(batch, ...)``.
        weight: Weight of each class, ``(classes,)``.
        ignore_index: Target that does not count.
        reduction: ``none``, ``sum``, or ``mean`` (weighted).

    Raises:
        ModelError: ``CIMC-M39``: a target is not a class.
    """
    classes = x.shape[1]
    target = target.to(torch.int64)
    ignored = torch.zeros_like(target, dtype=torch.bool)
    if ignore_index is not None:
        ignored = target == ignore_index
    chosen = target.masked_fill(ignored, 0)
    if chosen.numel() and (int(chosen.min()) < 0 or int(chosen.max()) >= classes):
        raise ModelError("CIMC-M39", f"a target is not one of {classes} classes", where="Loss")
    loss = -x.gather(1, chosen.unsqueeze(1)).squeeze(1)
    share = torch.ones_like(loss) if weight is None else weight[chosen].to(x.dtype)
    share = share.masked_fill(ignored, 0.0)
    loss = (loss * share).masked_fill(ignored, 0.0)
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / share.sum()


def softmax_cross_entropy_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """Return the loss of scores, and their log probabilities.

    Arguments are those of :func:`negative_log_likelihood_loss`, except that x holds scores.
    """
    log_probability = torch.log_softmax(x, dim=1)
    loss = negative_log_likelihood_loss(
        log_probability, target, weight, ignore_index=ignore_index, reduction=reduction
    )
    return loss, log_probability


#: Operators by name.
OPERATORS: Final[dict[str, Operator]] = {
    "negative_log_likelihood_loss": Operator(
        "negative_log_likelihood_loss", negative_log_likelihood_loss, "NegativeLogLikelihoodLoss"
    ),
    "softmax_cross_entropy_loss": Operator(
        "softmax_cross_entropy_loss",
        softmax_cross_entropy_loss,
        "SoftmaxCrossEntropyLoss",
        outputs=2,
    ),
}
