"""The straight-through estimator against the full gradient through the same noise model.

Both steps program the same chip from the same weights and give the same loss; they differ in the
backward pass, and in what the forward pass has to keep for it.  The full gradient goes through
rounding, clamping and conductances by the rules of ``cimc.training.differentiable``.
"""

from __future__ import annotations

from tests.benchmarks import step_memory
from tests.benchmarks.harness import Result, fastest
from tests.benchmarks.side_by_side import THREADS, two_threads
from tests.benchmarks.train_step import OURS, settings
from tests.benchmarks.ways import WAYS

#: Goals [STE, abstract]: how many times faster, and the share of memory that is saved.
FASTER, LESS, TIMES = 2.2, 0.38, 25
FULL = "full"


def measure() -> Result:
    """Return the time of a straight-through step, in that of one with the full gradient."""
    with two_threads():
        steps = {name: WAYS[name]() for name in ("plain", OURS, FULL)}
        # The same weights and the same chip: the first losses show that the forward passes agree.
        apart = abs(float(steps[OURS]()) - float(steps[FULL]()))
        best = fastest(steps, TIMES)
    memory = {name: step_memory.measure(name) for name in (OURS, FULL)}
    less = 1 - memory[OURS].peak / memory[FULL].peak
    return Result(
        "ste-vs-full-gradient",
        best[OURS] / best[FULL],
        "x full gradient",
        1 / FASTER,
        {
            **settings(),
            "threads": THREADS,
            "ste_ms": best[OURS] * 1e3,
            "full_ms": best[FULL] * 1e3,
            "plain_ms": best["plain"] * 1e3,
            "times_faster": best[FULL] / best[OURS],
            "memory_saved": less,
            "memory_goal": LESS,
            "ste_peak_mib": memory[OURS].peak,
            "full_peak_mib": memory[FULL].peak,
            "first_losses_apart": apart,
            "noise_model": "the executor's: DAC, tiles, programming noise, ADC, digital sum",
            "kernels": "cimc.executor.read and, for the gradient, cimc.training.differentiable",
        },
        also=less >= LESS,
    )
