"""100 chips of a ResNet-20 on 1,000 images: time and peak memory of ``cimc verify``.

``python -m tests.end_to_end.verification_100_chips`` writes ``docs/results/verification.md``;
``--chips N`` measures fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cimc
from tests.benchmarks.executor_resnet20 import trained_shape
from tests.end_to_end.everything import everything
from tests.zoo.exported import export
from tests.zoo.results import table_row, write_table
from tests.zoo.task import quiet_session

SAMPLES = 1000

NOTE = """\
ResNet-20 with 16 channels (270,000 weights, {arrays} arrays of 256 x 256) on images of 3 x 32 x
32. Weights and images are random: speed does not depend on them, accuracies would mean nothing.
`all but wires` has every non-ideality there is except IR drop (tests/end_to_end/everything.py):
{effects}. With wires each chip's arrays are solved exactly; a target with wires has no I-V
curve. Time is the wall time of the whole command, reading the program and the per-layer table
included; memory is its largest resident set; other work was running beside it, so the time of
the processors says more. One pass of the float network in onnxruntime over the same images took
{float_s:.1f} s, on one thread, just before."""


@dataclass(frozen=True)
class Spent:
    """What a command took."""

    seconds: float
    cpu_s: float
    peak_mib: float
    report: dict[str, Any]


def verify(program: Path, model: Path, data: Path, chips: int, *options: str) -> Spent:
    """Run ``cimc verify`` in a process of its own."""
    command = [
        *(sys.executable, "-m", "cimc", "verify", str(program), "--reference", str(model)),
        *("--data", str(data), "--chips", str(chips), "--json", *options),
    ]
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"cimc verify failed with {child.returncode}")
    seconds = time.perf_counter() - started
    cpu_s = usage.ru_utime + usage.ru_stime
    return Spent(seconds, cpu_s, usage.ru_maxrss / 1024, json.loads(out))


def float_seconds(model: Path, images: np.ndarray) -> float:
    """Return the time of one pass of the float network [s]."""
    session = quiet_session(str(model))
    started = time.perf_counter()
    for first in range(0, len(images), 100):
        session.run(None, {"image": images[first : first + 100]})
    return time.perf_counter() - started


def main() -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.verification_100_chips")
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--only", choices=["noise", "wires"], help="one of the rows")
    given = parser.parse_args()
    header = ("target", "chips", "time [s]", "CPU time [s]", "CPU time of a chip [s]")
    header += ("peak memory [MiB]",)
    rows: list[tuple[str, ...]] = []
    effects, arrays, float_s = "", 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = folder / "resnet20.onnx", folder / "data.npz"
        export(trained_shape(), model, (torch.zeros(2, 3, 32, 32),), ["image"], ["logits"])
        images = np.random.default_rng(1).standard_normal((SAMPLES, 3, 32, 32), np.float32)
        np.savez(data, image=images)
        float_s = float_seconds(model, images)
        for title, wires in (("all but wires", False), ("with wires", True)):
            if given.only == ("noise" if wires else "wires"):
                continue
            program = cimc.compile(
                model,
                target=everything(wires=wires),
                data={"image": images[:64]},
                output=folder / f"{wires}.cim",
            )
            arrays = program.arrays
            one = verify(folder / f"{wires}.cim", model, data, 1)
            spent = verify(folder / f"{wires}.cim", model, data, given.chips)
            if not wires:
                effects = ", ".join(spent.report["effects"])
            each = (spent.cpu_s - one.cpu_s) / max(1, given.chips - 1)
            figures = (f"{spent.seconds:.0f}", f"{spent.cpu_s:.0f}", f"{each:.2f}")
            figures += (f"{spent.peak_mib:,.0f}",)
            rows.append((title, str(given.chips), *figures))
            sys.stdout.write(table_row(rows[-1]) + "\n")
            sys.stdout.flush()
    if given.only is None:
        note = NOTE.format(arrays=arrays, effects=effects, float_s=float_s)
        command = "python -m tests.end_to_end.verification_100_chips"
        write_table("verification", "Verification of 100 chips", command, header, rows, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
