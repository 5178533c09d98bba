"""One linear layer, 512 x 512, batch 256, on one noisy chip against ``F.linear``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.harness import Result
from tests.benchmarks.side_by_side import measure as side_by_side

BAR, FEATURES, BATCH, TIMES = 2.0, 512, 256, 400


class Linear(nn.Module):
    """``F.linear`` with an input named x."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x)
        return result


def measure() -> Result:
    """Return the ratio of times."""
    torch.manual_seed(0)
    network = Linear().eval()
    x = np.random.default_rng(0).standard_normal((BATCH, FEATURES)).astype(np.float32)
    return side_by_side("linear-512", BAR, network, network, x, TIMES)
