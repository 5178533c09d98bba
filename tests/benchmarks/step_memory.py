"""Memory of a training step, measured in a process of its own: ``python -m ... WAY``.

Two ways of looking that have to agree.  What the system sees: the process gives every freed block
of 64 KiB or more back at once (glibc's ``MALLOC_MMAP_THRESHOLD_``, otherwise it keeps tens of MiB
from step to step and a peak is hidden in them), and its largest resident set is reset before the
step (``/proc/self/clear_refs``).  What torch sees: its allocator's events, which tell the average
too.  The first is the figure; it counts numpy's arrays and libraries' scratch as well.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks import harness

MIB = 1 << 20
STEPS, REPEATS = 3, 5


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a step [MiB].

    Attributes:
        kept: In tensors between steps: data, weights, optimizer, whatever else the network holds.
        peak: ``kept``, and the most that the process has during a step above what it has between.
        average: ``kept``, and what tensors made in a step take, averaged over its time.
        tensor_peak: ``kept``, and the most that tensors made in a step take.
    """

    kept: float
    peak: float
    average: float
    tensor_peak: float


def measure(way: str) -> Memory:
    """Return the memory of a step of one of ``tests.benchmarks.ways.WAYS``."""
    limits = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = ["/usr/bin/env", *(f"{k}={v}" for k, v in limits.items())]
    done = harness.child([*command, sys.executable, "-m", "tests.benchmarks.step_memory", way])
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def here(step: Callable[[], Any]) -> Memory:
    """Return the memory of a step in this process, which has the limits of :func:`measure`."""
    for _ in range(STEPS):
        step()
    above = min(_peak_above_rest(step) for _ in range(REPEATS))
    peak, average = _tensors(step)
    kept = _kept() / MIB
    return Memory(kept, kept + above, kept + average, kept + peak)


def _peak_above_rest(step: Callable[[], Any]) -> float:
    """Return how far the resident set rises during a step [MiB]."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    rest = _status("VmRSS")
    step()
    return _status("VmHWM") - rest


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def _tensors(step: Callable[[], Any]) -> tuple[float, float]:
    """Return the most, and the average over time, that tensors made in a step take [MiB]."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        step()
    assert profile.kineto_results is not None
    every = list(profile.kineto_results.events())
    events = sorted((e for e in every if e.name() == "[memory]"), key=lambda e: e.start_ns())
    live = most = 0
    area, before = 0.0, events[0].start_ns()
    for event in events:
        area += live * (event.start_ns() - before)
        before = event.start_ns()
        live += event.nbytes()
        most = max(most, live)
    return most / MIB, area / (before - events[0].start_ns()) / MIB


def _kept() -> int:
    """Return the bytes of all tensors there are."""
    gc.collect()
    # Exactly these types: what torch traces with (FakeTensor) has no memory.
    tensors = [value for value in gc.get_objects() if type(value) in (Tensor, nn.Parameter)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def main() -> int:
    """Measure in this process and print the figures."""
    from tests.benchmarks.ways import WAYS

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print(json.dumps(asdict(here(WAYS[sys.argv[1]]()))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
