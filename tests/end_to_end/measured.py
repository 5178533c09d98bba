"""Type C of [GDQ §4.4] measured: ``python -m tests.end_to_end.measured`` writes the page."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import cimc
from cimc.program.model import DeviceProgram
from cimc.targets import load_target
from cimc.verification import VerifyReport
from tests.end_to_end.tester import SIGMA_US, write
from tests.zoo import cache
from tests.zoo.digits import DIGITS, digits
from tests.zoo.resnet8 import CLOTHES
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array, Task

CHIPS, SAMPLES = 20, 1000
#: Spread of a cell, in units of that of the paper's devices.
TIMES = (1.0, 2.0, 4.0)

NOTE = """\
A network trained without noise, its weights as Lloyd levels (fitted with calibration data, no
training after), and what it does on chips. *Simulated* chips have the target's programming
noise, normal. *Measured* chips are read back by a tester (tests/end_to_end/tester.py) from
devices whose deviations are gamma distributed, skewness 1.41, with the same standard deviation;
`cimc verify --measured` runs those conductances. The spread of a difference is 0.32 µS on the
devices of the paper [GDQ §4.4]; two and four times that show where the shape of the
distribution begins to matter. Top-1 [%] on the first {samples} test images, mean over {chips}
chips with its 95 % interval. Converters are on."""


def data_of(task: Task) -> dict[str, Array]:
    """Return the labelled samples of a task."""
    if task is DIGITS:
        images, labels = digits()
        return {"Input3": images[:SAMPLES], "labels": labels[:SAMPLES]}
    with np.load(cache.data("fashion-test.npz")) as file:
        return {"image": file["image"][:SAMPLES], "labels": file["labels"][:SAMPLES]}


def measured(
    program: DeviceProgram, task: Task, data: dict[str, Array], sigma: float, folder: Path
) -> VerifyReport:
    """Return the figures of chips that a tester read."""
    files = [write(program, k, folder / f"{k}.safetensors", sigma) for k in range(CHIPS)]
    return cimc.verify(program, reference=task.model(), data=data, measured=files)


def shown(report: VerifyReport) -> str:
    """Return a mean with its interval."""
    low, high = report.ci_low or 0.0, report.ci_high or 0.0
    return f"{100 * report.mean:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def rows(task: Task, levels: int, folder: Path) -> list[tuple[str, ...]]:
    """Return the rows of one network at one number of levels."""
    found, data = [], data_of(task)
    for times in TIMES:
        sigma = float(times * SIGMA_US)
        target = load_target("rram").changed({"noise.programming": {"sigma": f"{sigma!r} uS"}})
        program = cimc.compile(task.model(), target=target, levels=levels, data=task.calibration())
        simulated = cimc.verify(program, reference=task.model(), data=data, chips=CHIPS)
        chips = measured(program, task, data, sigma, folder)
        found.append(
            (
                task.name,
                str(levels),
                f"{0.32 * times:.2f}",
                f"{100 * (chips.reference or 0.0):.2f}",
                f"{100 * (chips.noise_free or 0.0):.2f}",
                shown(simulated),
                shown(chips),
            )
        )
        sys.stdout.write(table_row(found[-1]) + "\n")
        sys.stdout.flush()
    return found


def main() -> int:
    """Measure and write ``docs/results/measured.md``."""
    header = ("network", "levels", "spread [µS]", "float", "noise-free", "simulated", "measured")
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for task in (DIGITS, CLOTHES):
            for levels in (4, 16):
                made += rows(task, levels, Path(folder))
    command = "python -m tests.end_to_end.measured"
    note = NOTE.format(samples=f"{SAMPLES:,}", chips=CHIPS)
    write_table("measured", "Measured chips", command, header, made, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
