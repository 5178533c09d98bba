"""A tester that reads a chip, and a chip that has nothing to do with the target's noise model.

[GDQ §4.4] programs real memristors and reads them back.  Here the deviations of the cells are
gamma distributed, skewed towards high conductance, drawn by numpy; the target says normal.  Only
mean and standard deviation are those of the paper.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from cimc.program.arrays import conductance_us
from cimc.program.model import DeviceProgram
from tests.zoo.task import Array

#: Standard deviation of a cell [uS]: that of a difference of two is 0.32 uS in [GDQ §4.4].
SIGMA_US = 0.32 / np.sqrt(2.0)
#: Shape of the gamma distribution: skewness 2 / sqrt(2) = 1.41, a normal distribution has 0.
SHAPE = 2.0


def skewed(generator: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """Return deviations of mean 0 and standard deviation ``sigma``, skewness ``2/sqrt(SHAPE)``."""
    scale = sigma / np.sqrt(SHAPE)
    return generator.gamma(SHAPE, scale, shape) - SHAPE * scale


def read_back(program: DeviceProgram, seed: int, sigma: float = SIGMA_US) -> dict[str, Array]:
    """Return the conductances of every array of one chip, by the name it has in the file [uS]."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for k in range(program.arrays):
        target = conductance_us(program, k)
        measured = target + skewed(generator, target.shape, sigma)
        arrays[f"array_{k}"] = np.maximum(measured, 0.0).astype(np.float32)
    return arrays


def write(program: DeviceProgram, seed: int, path: Path, sigma: float = SIGMA_US) -> Path:
    """Write what the tester reads from chip ``seed``."""
    save_file(read_back(program, seed, sigma), path, {"chip": f"chip-{seed}"})
    return path
