"""The three networks of the MTCNN face detector (facenet-pytorch, MIT), as torch modules.

The task is face or no face on scikit-image's ``lfw_subset``: 100 faces, 100 backgrounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from tests.zoo import cache
from tests.zoo.exported import export, weights
from tests.zoo.task import Array, Run, Task, percent


class PNet(nn.Module):
    """Proposal network, fully convolutional: box offsets and face probability a position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.prelu1(self.conv1(x))
        x = self.prelu2(self.conv2(self.pool1(x)))
        x = self.prelu3(self.conv3(x))
        return torch.softmax(self.conv4_1(x), 1), self.conv4_2(x)


class RNet(nn.Module):
    """Refinement network on 24 x 24 crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu4(self.dense4(x))
        return torch.softmax(self.dense5_1(x), 1), self.dense5_2(x)


class ONet(nn.Module):
    """Output network on 48 x 48 crops, with five landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return torch.softmax(self.dense6_1(x), 1), self.dense6_2(x), self.dense6_3(x)


#: Name to (class, side of its crops [pixel], names of its outputs).
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, list[str]]] = {
    "pnet": (PNet, 12, ["face", "box"]),
    "rnet": (RNet, 24, ["face", "box"]),
    "onet": (ONet, 48, ["face", "box", "landmarks"]),
}


def network(name: str) -> nn.Module:
    """Return one of the three with its published weights."""
    module = NETWORKS[name][0]()
    module.load_state_dict(weights(f"{name}.pt"))
    return module.eval()


def model(name: str) -> Path:
    """Return the ONNX file of one of the three."""
    _, side, outputs = NETWORKS[name]
    example = (torch.zeros(2, 3, side, side),)
    return export(network(name), cache.MODELS / f"{name}.onnx", example, ["image"], outputs)


def crops(side: int) -> npt.NDArray[np.float32]:
    """Return the 200 crops ``(200, 3, side, side)``, faces first, as the networks expect them."""
    images = np.load(cache.data("lfw_subset.npy"), allow_pickle=False)
    pixels = [
        np.asarray(
            Image.fromarray((image * 255).astype(np.uint8)).resize(
                (side, side), Image.Resampling.BILINEAR
            )
        )
        for image in images
    ]
    grey = (np.stack(pixels).astype(np.float32) - 127.5) / 128
    return np.repeat(grey[:, None], 3, axis=1)


def task(name: str, expected: float) -> Task:
    """Return the task of one of the three networks."""
    side = NETWORKS[name][1]

    def score(run: Run) -> float:
        answers = run({"image": crops(side)})["face"].reshape(200, 2)
        return percent((answers[:, 1] > 0.5) == (np.arange(200) < 100))

    def some(step: int) -> dict[str, Array]:
        return {"image": crops(side)[::step]}

    return Task(
        name,
        "face or not, 200 crops",
        lambda: model(name),
        lambda: some(20),
        lambda: some(4),
        score,
        expected,
    )


FACES = (task("pnet", 97.0), task("rnet", 99.5), task("onet", 99.5))
