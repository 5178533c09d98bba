"""Inputs bit by bit: eight slices of X[2048, 512] through G[512, 512], each bit converted.

Every slice of every row tile of 128 word lines goes through an 8-bit ADC; shifts and sums are
digital.  It is compared with the bare product of the slices, X[8 * 2048, 512] @ G[512, 512], which
is as many multiplications.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import cimc
from cimc.executor import Executor
from cimc.targets import load_target
from tests.benchmarks.harness import Result, fastest
from tests.benchmarks.linear_512 import Linear
from tests.benchmarks.side_by_side import THREADS, two_threads

BAR, SLICES, VECTORS, FEATURES, ROWS, TIMES = 1.6, 8, 2048, 512, 128, 40


def measure() -> Result:
    """Return the ratio of times."""
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((VECTORS, FEATURES), dtype=np.float32)
    target = load_target("rram").changed(
        {"array.rows": ROWS, "read.drive": "bit-serial", "read.dac_bits": SLICES}
    )
    with two_threads():
        compiled = cimc.compile(
            Linear().eval(),
            target=target,
            example_inputs=(torch.from_numpy(x[:2]),),
            data={"x": x},
        )
        chip = Executor(compiled, mode="chip")
        inputs: dict[str, Any] = {compiled.inputs[0].name: x}
        best = fastest({**_products(), "executor": lambda: chip.run(inputs)}, TIMES)
    settings = compiled.target
    (layer,) = compiled.layers.values()
    return Result(
        "bit-serial",
        best["executor"] / best["product"],
        "x bare product",
        BAR,
        {
            "x": f"{VECTORS}x{FEATURES}",
            "g": f"{FEATURES}x{FEATURES}",
            "slices": SLICES,
            "signed_inputs": bool(layer.uses[0].dac.signed),
            "row_tiles": len(layer.row_tiles),
            "adc_bits": settings["adc"]["bits"],
            "programming_noise": settings["noise"]["programming"],
            "threads": THREADS,
            "executor_ms": best["executor"] * 1e3,
            "product_ms": best["product"] * 1e3,
        },
    )


def _products() -> dict[str, Callable[[], object]]:
    """Return the bare product of all slices, with inputs that are there already."""
    slices = torch.randint(0, 2, (SLICES * VECTORS, FEATURES)).float()
    g = torch.randn(FEATURES, FEATURES)
    out = torch.empty(SLICES * VECTORS, FEATURES)
    return {"product": lambda: torch.mm(slices, g, out=out)}
