"""Small transformers over characters: a causal one (GPT) and a bidirectional one (BERT)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def waves(length: int, width: int) -> Tensor:
    """Return sines and cosines ``(length, width)`` of positions [Vaswani et al. 2017, §3.5]."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


class Attention(nn.Module):
    """Multi-head self-attention; with ``causal``, of earlier characters only."""

    def __init__(self, width: int, heads: int, length: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        # Added to the scores; -1e4 rather than -inf: softmax of it is 0 in every type.
        mask = torch.full((length, length), -1e4).triu(1) if causal else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, length, width)`` of the same shape."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if self.mask is not None:
            scores = scores + self.mask
        mixed: Tensor = self.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return mixed


class Layer(nn.Module):
    """Attention and a two-layer perceptron, each normalized first and added."""

    def __init__(self, width: int, heads: int, length: int, *, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, length, causal=causal)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, length, width)`` of the same shape."""
        x = x + self.attention(self.norm1(x))
        grown: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return grown


class Transformer(nn.Module):
    """Character and position embeddings, layers, a normalization and a linear head.

    Args:
        symbols: Characters that can come in [-].
        answers: Characters it chooses among [-].
        causal: Predicts from earlier characters only (GPT).
        width: Of the stream of features.
        layers: Number of layers.
        heads: Attention heads of each.
        length: Characters of a window.
    """

    def __init__(
        self,
        symbols: int,
        answers: int,
        *,
        causal: bool,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        length: int = 64,
    ) -> None:
        super().__init__()
        self.characters = nn.Embedding(symbols, width)
        nn.init.normal_(self.characters.weight, std=0.5)
        # Waves to begin with: attention finds the neighbours many steps earlier than from noise.
        self.positions = nn.Parameter(waves(length, width))
        self.layers = nn.Sequential(
            *(Layer(width, heads, length, causal=causal) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, answers)

    def forward(self, text: Tensor) -> Tensor:
        """Return logits ``(n, length, answers)`` of characters ``(n, length)``, int64."""
        x = self.characters(text) + self.positions
        logits: Tensor = self.head(self.norm(self.layers(x)))
        return logits
