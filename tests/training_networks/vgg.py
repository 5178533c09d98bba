"""VGGs for small images: 3 x 3 convolutions with BatchNorm, max pooling, linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

#: Takes the place of a number of channels: a 2 x 2 max pooling.
POOL = 0


class Vgg(nn.Module):
    """A plain stack.

    Args:
        features: Channels of each convolution in turn; ``POOL``: a pooling (sides round up).
        hidden: Outputs of each linear layer before the last.
        channels: Of the image.
        side: Of the image [pixels].
        classes: Number of classes.
    """

    def __init__(
        self,
        features: Sequence[int],
        hidden: Sequence[int],
        *,
        channels: int = 1,
        side: int = 28,
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        now = channels
        for width in features:
            if width == POOL:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                side = (side + 1) // 2
            else:
                layers += [nn.Conv2d(now, width, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(width), nn.ReLU()]
                now = width
        self.features = nn.Sequential(*layers)
        sizes = [now * side * side, *hidden]
        linear: list[nn.Module] = []
        for rows, columns in pairwise(sizes):
            linear += [nn.Linear(rows, columns), nn.ReLU()]
        self.classifier = nn.Sequential(*linear, nn.Linear(sizes[-1], classes))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(n, classes)`` of images ``(n, channels, side, side)``."""
        logits: Tensor = self.classifier(torch.flatten(self.features(image), 1))
        return logits
