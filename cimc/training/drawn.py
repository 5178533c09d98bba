"""What a training run draws: order, held-out samples, chips.  Each from the seed and its place.

Nothing keeps a state, so a run that goes on from a checkpoint draws what it would have drawn.

A chip is a seed.  Those of training and of its evaluations lie in ranges of their own, above all
that :func:`cimc.verification.verify` takes (0 to 2**62), so that no chip of a test was ever seen:

===========  ====================
tests        0 to 4 * 2**60
evaluations  6 * 2**60 to 7 * 2**60
training     7 * 2**60 to 8 * 2**60
===========  ====================
"""

from __future__ import annotations

from typing import Final

import torch

from cimc.device.seeding import generator

#: First chips of evaluations and of training; each range holds 2**60 chips.
EVALUATION: Final = 6 * 2**60
TRAINING: Final = EVALUATION + 2**60
_CHIPS: Final = 2**60


def order(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order in which one epoch visits its samples, a permutation of ``count``."""
    drawn = generator(seed, "training", "order", epoch)
    permuted: list[int] = torch.randperm(count, generator=drawn).tolist()
    return permuted


def held_out(seed: int, share: float, count: int) -> tuple[list[int], list[int]]:
    """Return which of ``count`` samples train and which are held out, both ascending.

    At least one sample trains; with a share of 0, or too few samples, none is held out.

    Args:
        seed: Of the choice.
        share: Held out, in [0, 1).
        count: Samples there are [-].
    """
    held = min(int(share * count), count - 1)
    drawn = generator(seed, "training", "held out")
    permuted: list[int] = torch.randperm(count, generator=drawn).tolist()
    return sorted(permuted[held:]), sorted(permuted[:held])


def training_chip(seed: int, step: int) -> int:
    """Return the chip of a training step, in [TRAINING, 2**63)."""
    return TRAINING + _draw(seed, "training", "chip", step)


def evaluation_chips(seed: int, count: int) -> list[int]:
    """Return the chips of every evaluation of a run, in [EVALUATION, TRAINING)."""
    return [EVALUATION + _draw(seed, "training", "evaluation", i) for i in range(count)]


def _draw(seed: int, *purpose: str | int) -> int:
    return int(torch.randint(_CHIPS, (1,), generator=generator(seed, *purpose)))
