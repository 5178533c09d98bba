"""ResNet-20 as in ``executor-resnet20``, on a chip whose cells fluctuate from read to read."""

from __future__ import annotations

import numpy as np

from cimc.targets import load_target
from tests.benchmarks.executor_resnet20 import BATCH, TIMES, folded, trained_shape
from tests.benchmarks.harness import Result
from tests.benchmarks.side_by_side import measure as side_by_side

BAR, SIGMA = 4.5, 0.02


def measure() -> Result:
    """Return the ratio of times: 9.2 million bit lines are read a run, each with its own noise."""
    network = trained_shape()
    x = np.random.default_rng(0).standard_normal((BATCH, 3, 32, 32)).astype(np.float32)
    target = load_target("rram").changed({"noise.read": {"sigma_relative": SIGMA}})
    name = "executor-resnet20-read-noise"
    return side_by_side(name, BAR, network, folded(network), x, TIMES, target)
