"""Chips of the tables that the compiler does not draw, and how far its own cells deviate."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from cimc.executor.cells import targets_us
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.end_to_end.tester import skewed


def tester_cells(
    program: DeviceProgram, chip: int, spread_us: float
) -> dict[str, tuple[Tensor, ...]]:
    """Return the conductances of one chip as an independent tester reads them [uS].

    Deviations are gamma distributed with mean 0, standard deviation ``spread_us`` and skewness
    1.41, drawn by numpy, see :mod:`tests.end_to_end.tester`.
    """
    generator = np.random.default_rng(chip)
    found = {}
    for name, layer in program.layers.items():
        planes = []
        for plane in targets_us(layer.cells, torch.device("cpu")):
            shape = tuple(plane.shape)
            measured = plane.numpy() + skewed(generator, shape, spread_us)
            planes.append(torch.from_numpy(np.maximum(measured, 0.0).astype(np.float32)))
        found[name] = tuple(planes)
    return found


def matched_delta(program: DeviceProgram, target: Target) -> float:
    """Return the delta of [GDQ] Eq. 6 that has the spread of a target's lognormal writes.

    A weight is a difference of two cells, each lognormal with standard deviation
    ``G sqrt(e^(s^2) (e^(s^2) - 1))``; the largest weight is ``g_max - g_min``.  The mean square
    over all weights of a program is that of a normal deviation with one delta everywhere.
    """
    noise = target.noise.programming
    if noise is None or noise.sigma_log is None or target.encoding != "differential-pair":
        raise ValueError("a matched delta is of pairs of cells with lognormal writes")
    squares, weights = 0.0, 0
    for layer in program.layers.values():
        planes = targets_us(layer.cells, torch.device("cpu"))
        squares += sum(float(lognormal_variance(p, noise.sigma_log).sum()) for p in planes)
        weights += planes[0].numel()
    return math.sqrt(squares / weights) / (target.cell.g_max_us - target.cell.g_min_us)


def lognormal_variance(target_us: Tensor, sigma: float) -> Tensor:
    """Return the variance of ``target exp(sigma z)``, float64 [uS^2]."""
    growth = math.exp(sigma**2)
    return target_us.double().square() * (growth * (growth - 1.0))
