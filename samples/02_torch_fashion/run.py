"""Train a small torch CNN on Fashion-MNIST, compile the module itself and verify it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cimc

CACHE = Path(__file__).resolve().parents[2] / ".cache"
MEAN, STD = 0.2860, 0.3530


class SmallCnn(nn.Module):
    """Three convolutions, each with its BatchNorm, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 16, 3, 2, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, 2, padding=1), nn.BatchNorm2d(32)
        self.conv3, self.norm3 = nn.Conv2d(32, 64, 3, 2, padding=1), nn.BatchNorm2d(64)
        self.classifier = nn.Linear(64 * 4 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of images ``(n, 1, 28, 28)``."""
        x = F.relu(self.norm1(self.conv1(image)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.relu(self.norm3(self.conv3(x)))
        return self.classifier(x.flatten(1))


def train(images: Tensor, labels: Tensor) -> nn.Module:
    """Return the network after one epoch of plain torch."""
    torch.manual_seed(0)
    network = SmallCnn()
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True)
    batches = torch.randperm(len(images)).split(64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, len(batches))
    for batch in batches:
        loss = F.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def main() -> None:
    """Train, compile, verify."""
    with np.load(CACHE / "data" / "fashion-train.npz") as file:
        pixels, labels = file["pixels"], torch.from_numpy(file["labels"].astype(np.int64))
    images = torch.from_numpy((pixels.astype(np.float32) / 255 - MEAN) / STD)[:, None]
    network = train(images, labels)

    # A torch module needs example inputs; the axis of samples is left free.
    program = cimc.compile(
        network,
        example_inputs=(images[:2],),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        target="rram",
        levels=16,
        data={"image": images[:512].numpy()},
    )
    print(f"{len(program.layers)} layers on {program.arrays} arrays")

    with np.load(CACHE / "data" / "fashion-test.npz") as file:
        test = {"image": file["image"], "labels": file["labels"]}
    with torch.no_grad():
        answers = network(torch.from_numpy(test["image"])).argmax(1).numpy()
    report = cimc.verify(program, data=test, chips=5)
    print(f"torch                   {np.mean(answers == test['labels']):.4f}")
    print(f"levels only (ideal)     {report.ideal:.4f}")
    print(f"mean of {report.chips} chips         {report.mean:.4f}")
    print(f"worst of them           {report.min:.4f}")


if __name__ == "__main__":
    main()
