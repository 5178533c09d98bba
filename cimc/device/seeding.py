"""Streams of random numbers that depend on what they are for, not on when they are drawn."""

from __future__ import annotations

import hashlib

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
    text = repr((seed, *purpose)).encode()
    key = int.from_bytes(hashlib.sha256(text).digest()[:8], "little", signed=True)
    return torch.Generator(device=device).manual_seed(key)
