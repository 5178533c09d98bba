"""What changes from step to step: learning rate, weight of the penalty, chips or none."""

from __future__ import annotations

import math

from cimc.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step.

    ``cosine`` [Loshchilov and Hutter 2017, Eq. 5]: ``lr (1 + cos(pi t / T)) / 2``, so that the
    first step has the full rate and the rate after the last would be 0.

    Args:
        recipe: Rate, schedule, epochs.
        step: From 0.
        steps_per_epoch: [-].
    """
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        total = max(1, recipe.epochs * steps_per_epoch)
        return rate * 0.5 * (1.0 + math.cos(math.pi * min(step / total, 1.0)))
    if recipe.schedule == "step":
        epoch = step // steps_per_epoch
        return float(rate * recipe.gamma ** sum(epoch >= m for m in recipe.milestones))
    return rate


def penalty_weight(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return lambda, the weight of the penalty of levels at a step [NM §4].

    ``lambda_start`` for most of training; over the last ``lambda_epochs`` it grows exponentially,
    step by step, to ``lambda_end`` at the last step.

    Args:
        recipe: Both ends and the epochs it grows in.
        step: From 0.
        steps_per_epoch: [-].
    """
    growing = recipe.lambda_epochs or max(1, recipe.epochs // 10)
    span = min(growing, recipe.epochs) * steps_per_epoch
    last = recipe.epochs * steps_per_epoch - 1
    share = min(1.0, max(0.0, (step - (last - span)) / span)) if span else 1.0
    if recipe.lambda_start <= 0.0 or recipe.lambda_end <= 0.0:
        # No exponential leads from or to 0: it begins, or ends, at once.
        return recipe.lambda_end if share > 0.0 else recipe.lambda_start
    return float(recipe.lambda_start * (recipe.lambda_end / recipe.lambda_start) ** share)


def on_chips(recipe: Recipe, epoch: int) -> bool:
    """Return whether the steps of an epoch (from 0) are taken on chips: not while warming up."""
    return recipe.noise != "none" and epoch >= recipe.warm_up_epochs
