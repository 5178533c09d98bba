"""Networks with answers over the image: a segmentation and a single-shot detection network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Stage(nn.Module):
    """Convolution 3 x 3, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, outputs, height / stride, width / stride)``."""
        return F.relu(self.norm(self.conv(x)))


class Up(nn.Module):
    """Transposed convolution 2 x 2 with stride 2, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, outputs, 2 height, 2 width)``."""
        return F.relu(self.norm(self.conv(x)))


class Segmentation(nn.Module):
    """Encoder and decoder with shortcuts (a small U-Net): classes of every pixel.

    Args:
        classes: With the background.
        width: Channels at half the resolution, doubled at a quarter, four times at an eighth.
    """

    def __init__(self, classes: int = 11, width: int = 12) -> None:
        super().__init__()
        self.stage1 = Stage(1, width, 2)
        self.stage2 = nn.Sequential(Stage(width, 2 * width, 2), Stage(2 * width, 2 * width))
        self.stage3 = nn.Sequential(Stage(2 * width, 4 * width, 2), Stage(4 * width, 4 * width))
        self.context = Stage(4 * width, 4 * width)
        self.up4, self.merge4 = Up(4 * width, 2 * width), Stage(4 * width, 2 * width)
        self.up2, self.merge2 = Up(2 * width, width), Stage(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(n, classes, h, w)`` of images ``(n, 1, h, w)``, multiples of 8."""
        half = self.stage1(image)
        quarter = self.stage2(half)
        eighth = self.context(self.stage3(quarter))
        x = self.merge4(torch.cat((self.up4(eighth), quarter), 1))
        x = self.merge2(torch.cat((self.up2(x), half), 1))
        return F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class Detection(nn.Module):
    """Single-shot detector: class and box at every cell of a grid 8 pixels apart.

    Args:
        classes: With the background, which is class 0.
        width: Channels of the first stage.
    """

    def __init__(self, classes: int = 11, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Stage(1, width, 2),
            Stage(width, 2 * width, 2),
            Stage(2 * width, 2 * width),
            Stage(2 * width, 4 * width, 2),
            Stage(4 * width, 4 * width),
            Stage(4 * width, 4 * width),
        )
        self.classes = nn.Conv2d(4 * width, classes, 3, padding=1)
        self.boxes = nn.Conv2d(4 * width, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(n, cells, classes + 4)`` of images ``(n, 1, h, w)``, multiples of 8.

        The last four are offsets of the box; :mod:`tests.training_networks.boxes` decodes them.
        """
        x = self.body(image)
        answers = torch.cat((self.classes(x), self.boxes(x)), 1)
        return answers.flatten(2).transpose(1, 2)
