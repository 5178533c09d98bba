"""ResNets for small images: ResNet-8, -20 (three stages) and -18 (four), at any width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.resnet8 import Block


class ResNet(nn.Module):
    """Stem, stages of residual blocks [He et al. 2016], mean over the image, classifier.

    Args:
        blocks: Blocks of each stage: ``(1, 1, 1)`` is ResNet-8, ``(3, 3, 3)`` ResNet-20,
            ``(2, 2, 2, 2)`` ResNet-18.
        width: Channels of the first stage, doubled in each further one.
        channels: Of the image.
        classes: Number of classes.
        stride: Of the stem; 2 makes every later operation four times cheaper.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        *,
        channels: int = 1,
        classes: int = 10,
        stride: int = 2,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        now = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stages.append(Block(now, width << stage, 2 if stage and block == 0 else 1))
                now = width << stage
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(now, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(n, classes)`` of images ``(n, channels, height, width)``."""
        x = self.stages(F.relu(self.norm(self.conv(image))))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
