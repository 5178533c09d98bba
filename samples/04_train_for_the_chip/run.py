"""Compile a torch CNN for a badly written chip, plainly and fine-tuned for it; compare."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cimc
from cimc.pipeline import compile_model
from cimc.targets import load_target

CACHE = Path(__file__).resolve().parents[2] / ".cache"
MEAN, STD = 0.2860, 0.3530


class SmallCnn(nn.Module):
    """Three convolutions, each with its BatchNorm, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 8, 3, 2, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 16, 3, 2, padding=1), nn.BatchNorm2d(16)
        self.conv3, self.norm3 = nn.Conv2d(16, 32, 3, 2, padding=1), nn.BatchNorm2d(32)
        self.classifier = nn.Linear(32 * 4 * 4, 10)

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


def share_right(network: nn.Module, data: dict[str, np.ndarray]) -> float:
    """Return the share of right answers of a torch network."""
    with torch.no_grad():
        answers = network(torch.from_numpy(data["image"])).argmax(1).numpy()
    return float(np.mean(answers == data["labels"]))


def main() -> None:
    """Train, compile twice, verify both."""
    with np.load(CACHE / "data" / "fashion-train.npz") as file:
        pixels, labels = file["pixels"][:40000], file["labels"][:40000].astype(np.int64)
    images = ((pixels.astype(np.float32) / 255 - MEAN) / STD)[:, None]
    with np.load(CACHE / "data" / "fashion-test.npz") as file:
        test = {"image": file["image"][:2000], "labels": file["labels"][:2000]}
    network = train(torch.from_numpy(images[:30000]), torch.from_numpy(labels[:30000]))
    print(f"torch                              {share_right(network, test):.4f}")

    # Cells that are written once and not corrected miss their target by more than those of `rram`.
    chip = load_target("rram").changed({"noise.programming": {"sigma": "3 uS"}})
    settings = {
        "target": chip,
        "levels": 4,
        "data": {"image": images[:512]},
        "example_inputs": (torch.from_numpy(images[:2]),),
        "dynamic_shapes": ({0: torch.export.Dim("batch")},),
    }
    plain = cimc.verify(cimc.compile(network, **settings), data=test, chips=10)
    print(f"compiled, mean of {plain.chips} chips         {plain.mean:.4f}")

    # Images the network has not seen; a tenth of them is held out for the validation.
    result = compile_model(
        network,
        train_data={"image": images[30000:], "labels": labels[30000:]},
        training={"epochs": 4, "learning_rate": 5e-3},
        **settings,
    )
    training = result.report.training
    print(f"fine-tuned, {training.steps} steps on {training.steps} chips")
    print(f"  validation before                {training.validation_before:.4f}")
    print(f"  validation after                 {training.validation_after:.4f}")
    trained = cimc.verify(result.program, data=test, chips=10)
    print(f"fine-tuned, mean of {trained.chips} chips       {trained.mean:.4f}")

    # The weights go back under their own names: the torch network as it is on the chip.
    network.load_state_dict(result.weights.state_dict(), strict=False)
    print(f"torch with the trained weights     {share_right(network, test):.4f}")


if __name__ == "__main__":
    main()
