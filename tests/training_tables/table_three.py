"""[STE] Table III: time and memory of a training step by gradient, and with more effects.

``python -m tests.training_tables.table_three`` measures and writes docs/results/training-cost.md.
The steps are those of the benchmarks ``train-step`` and ``ste-vs-full-gradient``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from statistics import mean, stdev

from tests.benchmarks import peers, step_memory
from tests.benchmarks.side_by_side import THREADS, two_threads
from tests.benchmarks.step_memory import Memory
from tests.benchmarks.ways import WAYS
from tests.zoo.results import write_table

#: Rows in words, by way; what is measured beside ``plain`` in turns.
GRADIENTS = {
    "plain": "baseline: plain torch",
    "full": "full gradient",
    "detached": "`detached`: [STE Alg. 1], the device's graph built and cut off",
    "no-grad": "`no-grad`: [STE Alg. 1], no graph of the device",
    "straight-through": "`straight-through` (default): the clean output is never computed",
}
EFFECTS = {
    "read-noise": "straight-through, with read noise of 2 %",
    "drift": "straight-through, with drift (exponents 0.05 ± 0.01, after a day)",
    "bit-serial": "straight-through, inputs bit-serial",
    "ir-drop": "straight-through, on `rram-wires`: 128 x 128, wires of 1 Ω solved",
}
TURNS, EFFECT_TURNS = 30, 8
#: No more turns after so long; three at least [s].
PATIENCE = 90.0
HEADER = (
    "step",
    "time [ms]",
    "fastest [ms]",
    "x baseline",
    "peak memory [MiB]",
    "x baseline",
    "average [MiB]",
)
NOTE = """\
[STE] Table III on two cores: ResNet-20 (16-32-64 channels, 32 x 32 images, batch 64, BatchNorms
folded), Adam, target `rram`: 256 x 256 arrays, 8-bit DACs and ADCs, programming noise 0.226 µS a
cell, 16 Lloyd levels a column. A step on the device quantizes the weights, programs a new chip
with them, and runs forward and backward pass, optimizer and the projection test of every layer;
the baseline is the same network in plain torch, channels last.

Time: mean ± standard deviation of up to {turns} steps ({effect_turns} with more effects), and the
fastest; steps of all rows take turns in one process, with two threads. The ratio is that of the
fastest. Memory: in a process of its own for each row, `tests/benchmarks/step_memory.py` says how:
peak is what tensors take between steps plus the rise of the resident set during one; the average
is over the time of a step. The libraries themselves (about 350 MiB) are not in it.

Gradients that go through rounding and clamping are those of `cimc.training.differentiable`; the
noise model and the products are the executor's in every row but the baseline, and the loss of a
step is the same in all of them.

[STE] has, on a GPU and another network, 8.6 x the time of its baseline for the full gradient and
4.5 x for `no_grad` and `detach`; 2.7 x, 1.7 x and 2.1 x the peak memory.

torch {torch}, {threads} threads, processor: {processor}.
"""


def main() -> int:
    """Measure and write the page."""
    times: dict[str, list[float]] = {}
    with two_threads():
        times |= taking_turns(list(GRADIENTS), TURNS)
        for name in EFFECTS:
            found = taking_turns(["plain", name], EFFECT_TURNS)
            times |= {name: found[name], f"plain beside {name}": found["plain"]}
    memory = {name: step_memory.measure(name) for name in (*GRADIENTS, *EFFECTS)}
    rows = [row(words, name, times, memory) for name, words in (GRADIENTS | EFFECTS).items()]
    note = NOTE.format(
        turns=TURNS,
        effect_turns=EFFECT_TURNS,
        torch=version("torch"),
        threads=THREADS,
        processor=peers.processor(),
    )
    command = "python -m tests.training_tables.table_three"
    write_table("training-cost", "What a training step costs", command, HEADER, rows, note=note)
    return 0


def taking_turns(names: Sequence[str], turns: int) -> dict[str, list[float]]:
    """Return the times of steps that take turns [s], by name; the first of each is not counted."""
    steps = {name: WAYS[name]() for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    began = time.perf_counter()
    for turn in range(turns + 1):
        if turn > 3 and time.perf_counter() - began > PATIENCE:
            break
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                times[name].append(time.perf_counter() - start)
    sys.stderr.write(f"{', '.join(names)}: measured\n")
    return times


def row(
    words: str, name: str, times: dict[str, list[float]], memory: dict[str, Memory]
) -> tuple[str, ...]:
    """Return a row of the table."""
    mine, plain = times[name], times.get(f"plain beside {name}", times["plain"])
    seen, base = memory[name], memory["plain"]
    return (
        words,
        f"{mean(mine) * 1e3:.1f} ± {stdev(mine) * 1e3:.1f}",
        f"{min(mine) * 1e3:.1f}",
        f"{min(mine) / min(plain):.2f}",
        f"{seen.peak:.1f}",
        f"{seen.peak / base.peak:.2f}",
        f"{seen.average:.1f}",
    )


if __name__ == "__main__":
    raise SystemExit(main())
