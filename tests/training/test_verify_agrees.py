"""What training says of the chips it evaluates on is what ``cimc verify`` says of others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import stdtrit
from torch import Tensor, nn

import cimc
from cimc.pipeline.compile import compile_model
from cimc.training import drawn

CHIPS, SHARE, CLASSES = 24, 0.4, 6
NONIDEAL = Path(__file__).resolve().parents[1] / "end_to_end" / "nonideal.yaml"


@dataclass(frozen=True)
class Problem:
    """A network at 80 % of six classes, and its data."""

    network: nn.Module
    images: Tensor
    labels: Tensor


@pytest.fixture(scope="module")
def problem() -> Problem:
    draw = torch.Generator().manual_seed(0)
    centres = 0.25 * torch.randn(CLASSES, 1, 12, 12, generator=draw)
    labels = torch.randint(CLASSES, (1200,), generator=draw)
    images = centres[labels] + torch.randn(1200, 1, 12, 12, generator=draw)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, CLASSES),
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(4):
        for x, y in zip(images.split(50), labels.split(50), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    return Problem(network.eval(), images, labels)


def bound(std: float, chips: int, alarm: float = 1e-3) -> float:
    """How far two means over as many chips may be apart; false alarm of ``alarm``."""
    return float(stdtrit(2 * chips - 2, 1 - alarm / 2)) * std * math.sqrt(2 / chips)


def worse(tmp_path: Path) -> Path:
    """Every non-ideality there is, with a programming noise of a fifth of the range."""
    text = NONIDEAL.read_text("utf-8")
    assert "sigma: 0.226 uS" in text
    path = tmp_path / "worse.yaml"
    path.write_text(text.replace("sigma: 0.226 uS", "sigma: 3 uS"), "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("target", ["worse", "pcm"])
def test_accuracy_on_the_same_samples_is_the_same(
    problem: Problem, target: str, tmp_path: Path
) -> None:
    images, labels = problem.images.numpy(), problem.labels.numpy()
    result: Any = compile_model(
        problem.network,
        example_inputs=(problem.images[:2],),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        target=worse(tmp_path) if target == "worse" else target,
        levels=4,
        train_data={"input": images, "labels": labels},
        training={
            "epochs": 1,
            "learning_rate": 3e-4,
            "validation": SHARE,
            "validation_chips": CHIPS,
        },
    )
    _, held = drawn.held_out(0, SHARE, len(images))
    samples = {"input": images[held], "labels": labels[held]}
    report = cimc.verify(result.program, data=samples, chips=CHIPS)
    trained = result.report.training
    assert report.samples == len(held) == 480
    assert report.std is not None
    assert abs(trained.validation_after - report.mean) < bound(report.std, CHIPS)
    if target == "worse":
        # The bound is tight enough to tell chips from their absence.
        assert report.noise_free - report.mean > 2 * bound(report.std, CHIPS)
    assert np.isfinite(report.mean)
