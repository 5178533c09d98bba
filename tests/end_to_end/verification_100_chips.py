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
from tests.zoo.cache import CACHE
from tests.zoo.exported import export
from tests.zoo.results import table_row, write_table
from tests.zoo.task import quiet_session

SAMPLES = 1000
#: Title of each row, and whether the target has wires.
ROWS = {"noise": ("all but wires", False), "wires": ("with wires", True)}

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


def row(title: str, wires: bool, chips: int) -> dict[str, Any]:
    """Measure one target."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = folder / "resnet20.onnx", folder / "data.npz"
        export(trained_shape(), model, (torch.zeros(2, 3, 32, 32),), ["image"], ["logits"])
        images = np.random.default_rng(1).standard_normal((SAMPLES, 3, 32, 32), np.float32)
        np.savez(data, image=images)
        float_s = float_seconds(model, images)
        program = folder / "resnet20.cim"
        calibration = {"image": images[:64]}
        made = cimc.compile(
            model, target=everything(wires=wires), data=calibration, output=program
        )
        one = verify(program, model, data, 1)
        spent = verify(program, model, data, chips)
    each = (spent.cpu_s - one.cpu_s) / max(1, chips - 1)
    figures = [f"{spent.seconds:.0f}", f"{spent.cpu_s:.0f}", f"{each:.2f}"]
    return {
        "cells": [title, str(chips), *figures, f"{spent.peak_mib:,.0f}"],
        "effects": ", ".join(spent.report["effects"]),
        "arrays": made.arrays,
        "float_s": float_s,
    }


def main() -> int:
    """Measure, print, and write the page of all rows that were ever measured here."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.verification_100_chips")
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--only", choices=list(ROWS), help="one of the rows")
    given = parser.parse_args()
    kept = CACHE / "verification-rows.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for name, (title, wires) in ROWS.items():
        if given.only in (None, name):
            found[name] = row(title, wires, given.chips)
            sys.stdout.write(table_row(found[name]["cells"]) + "\n")
            sys.stdout.flush()
            found = {**(json.loads(kept.read_text()) if kept.exists() else {}), name: found[name]}
            kept.write_text(json.dumps(found))
    if "noise" in found:
        about = {key: found["noise"][key] for key in ("arrays", "effects", "float_s")}
        header = ("target", "chips", "time [s]", "CPU time [s]", "CPU time of a chip [s]")
        rows = [found[name]["cells"] for name in ROWS if name in found]
        command = "python -m tests.end_to_end.verification_100_chips"
        title = "Verification of 100 chips"
        header += ("peak memory [MiB]",)
        write_table("verification", title, command, header, rows, NOTE.format(**about))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
