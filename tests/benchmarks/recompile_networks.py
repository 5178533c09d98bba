"""Large networks with random weights, compiled with a few images, for the cost of recompiling.

What a recompilation costs depends on shapes, not on what the network has learnt; its BatchNorms
have seen the images, so that no activation dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo import light
from tests.zoo.cache import CACHE
from tests.zoo.exported import export
from tests.zoo.resnet8 import Block
from tests.zoo.task import Array

FOLDER: Final = CACHE / "faults" / "large"
SIDE: Final = 224
IMAGES: Final = 8


class ResNet18(nn.Module):
    """The ResNet-18 of ImageNet: 11.7 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(64)
        blocks, width = [], 64
        for stage in range(4):
            for block in range(2):
                blocks.append(Block(width, 64 << stage, 2 if stage and not block else 1))
                width = 64 << stage
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 3, 2, 1)
        result: Tensor = self.classifier(self.blocks(x).mean((2, 3)))
        return result


def images(count: int = IMAGES) -> Array:
    """Return smooth random images ``(count, 3, 224, 224)``, each of deviation 1."""
    generator = np.random.default_rng(0)
    drawn = generator.standard_normal((count, 3, SIDE, SIDE))
    smooth = np.stack([ndimage.gaussian_filter(drawn, (0, 0, s, s)) * s for s in (1, 4, 16)]).sum(
        0
    )
    found: Array = (smooth / smooth.std(axis=(1, 2, 3), keepdims=True)).astype(np.float32)
    return found


def resnet18() -> Path:
    """Return the ONNX file of a ResNet-18."""
    path = FOLDER / "resnet18.onnx"
    if not path.is_file():
        torch.manual_seed(0)
        network, x = ResNet18(), torch.from_numpy(images(2))
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the mean over all that is seen
        with torch.no_grad():
            network.train()(x)
        FOLDER.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".whole.onnx")
        whole.unlink(missing_ok=True)
        export(network.eval(), whole, (x,), ["image"], ["logits"])
        whole.replace(path)
    return path


def resnet50() -> Path:
    """Return the ONNX file of the ResNet-50 of the onnx package: 25.5 million weights."""
    return light.model("resnet50")


#: By name: the file, and the name of the input.
NETWORKS: Final[Mapping[str, tuple[Callable[[], Path], str]]] = {
    "resnet18": (resnet18, "image"),
    "resnet50": (resnet50, "gpu_0/data_0"),
}


def program(name: str) -> Path:
    """Return the program of a network for ``rram``, 8 levels a column, with calibration data."""
    import cimc
    from cimc.errors import ProgramError

    path = FOLDER / f"{name}.cim"
    if path.is_dir():
        try:
            cimc.load(path)
        except ProgramError:
            pass  # of another version of the format
        else:
            return path
    model, entry = NETWORKS[name]
    data = {entry: images()}
    cimc.compile(model(), target="rram", levels=8, data=data, output=path)
    return path
