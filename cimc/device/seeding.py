"""Streams of random numbers that depend on what they are for, not on when they are drawn."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def generator(
    seed: int, *purpose: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the random stream of one purpose on one chip.

    Streams of different purposes are independent, so a layer's draws do not change when layers
    are added, reordered or split.  The CPU stream is the same whatever device computes.

    Args:
        seed: The chip.
        purpose: What is drawn, for which layer and plane: ``("programming", "conv1", 0)``.
        device: Where the numbers are drawn.
    """
    key = int.from_bytes(_digest(seed, *purpose)[:8], "little", signed=True)
    return torch.Generator(device=device).manual_seed(key)


def bit_generator(seed: int, *purpose: str | int) -> np.random.BitGenerator:
    """Return numpy's fastest random bits of one purpose on one chip, see :func:`generator`."""
    return np.random.SFC64(int.from_bytes(_digest(seed, *purpose), "little"))


def _digest(seed: int, *purpose: str | int) -> bytes:
    return hashlib.sha256(repr((seed, *purpose)).encode()).digest()
