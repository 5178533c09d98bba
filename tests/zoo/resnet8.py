"""ResNet-8 with 16 channels (77,360 weights) for Fashion-MNIST, trained here with plain torch.

``python -m tests.zoo.resnet8`` trains it (6 epochs, fixed seed) and writes
``resnet8-fashion.onnx`` beside this file, where it is committed: nobody else has to train.
The BatchNorms are kept.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo import cache
from tests.zoo.cache import HERE
from tests.zoo.exported import export
from tests.zoo.fashion import fashion
from tests.zoo.task import Array, Run, Task, percent

PATH = HERE / "resnet8-fashion.onnx"
EPOCHS, BATCH, RATE = 6, 64, 0.05


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A CIFAR-style ResNet: three stages of ``blocks`` blocks each.

    Args:
        blocks: Blocks a stage; 1 is ResNet-8, 3 is ResNet-20.
        channels: Channels of the first stage, doubled in each of the other two.
        inputs: Channels of the image.
        classes: Number of classes.
    """

    def __init__(
        self, blocks: int = 1, channels: int = 16, inputs: int = 1, classes: int = 10
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        stages: list[nn.Module] = []
        width = channels
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and block == 0 else 1
                stages.append(Block(width, channels << stage, stride))
                width = channels << stage
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(F.relu(self.norm(self.conv(x))))
        return self.classifier(x.mean((2, 3)))


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image with probability 1/2."""
    flip = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def train(epochs: int = EPOCHS, seed: int = 0) -> tuple[nn.Module, float]:
    """Train on the 60,000 images; return the network and its accuracy on the 10,000."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = map(torch.from_numpy, fashion("train"))
    network = ResNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.2)
    for epoch in range(epochs):
        began, total = time.perf_counter(), 0.0
        order = torch.randperm(len(images), generator=generator)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(network(augment(images[batch], generator)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        seconds = time.perf_counter() - began
        sys.stderr.write(f"epoch {epoch + 1}: loss {total * BATCH / 60000:.4f}, {seconds:.0f} s\n")
    network.eval()
    test_images, test_labels = map(torch.from_numpy, fashion("t10k"))
    with torch.no_grad():
        answers = torch.cat([network(x).argmax(1) for x in test_images.split(500)])
    return network, float(np.mean(answers.numpy() == test_labels.numpy()))


def write(network: nn.Module) -> None:
    """Write the network as ONNX with a dynamic batch and its BatchNorms."""
    PATH.unlink(missing_ok=True)
    export(network, PATH, (torch.zeros(2, 1, 28, 28),), ["image"], ["logits"])


def calibration() -> dict[str, Array]:
    """Return 512 training images."""
    return {"image": fashion("train")[0][:512]}


def score(run: Run) -> float:
    """Top-1 on the 10,000 test images [%]."""
    images, labels = fashion("t10k")
    batches = [run({"image": images[k : k + 500]})["logits"] for k in range(0, len(images), 500)]
    return percent(np.concatenate(batches).argmax(1) == labels)


CLOTHES = Task(
    "resnet8-fashion",
    "top-1, 10,000 images",
    lambda: cache.need(PATH),
    lambda: {"image": fashion("t10k")[0][:16]},
    calibration,
    score,
    expected=92.0,
)


def main() -> int:
    """Train and export."""
    network, accuracy = train()
    sys.stderr.write(f"test accuracy {accuracy:.4f}\n")
    write(network)
    sys.stderr.write(f"{PATH.name}: {PATH.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
