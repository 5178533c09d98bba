"""Programming noise: how far the conductance of a cell ends up from its target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Standard deviation of the programmed conductance: a number, or a function of the target [uS].
Spread = float | Callable[[Tensor], Tensor]


def programmed(target_us: Tensor, spread: Spread, generator: torch.Generator) -> Tensor:
    """Return the conductances a chip ends up with, one draw a cell.

    Normal around the target.  A conductance is never negative: what falls below 0 is 0, which for
    a cell at ``k`` standard deviations above 0 happens with probability ``erfc(k / sqrt 2) / 2``.

    Args:
        target_us: Conductance targets, any shape [uS].
        spread: Standard deviation [uS].
        generator: A CPU stream, so that a chip is the same chip on every device.

    Returns:
        float32, new, on the device of ``target_us`` [uS].
    """
    noise = torch.empty(target_us.shape, dtype=torch.float32).normal_(generator=generator)
    noise = noise.to(target_us.device)
    sigma = spread(target_us) if callable(spread) else spread
    return noise.mul_(sigma).add_(target_us).clamp_(min=0)
