"""One network on every shipped target: ``python -m tests.end_to_end.devices``.

``--write`` keeps the table in ``docs/results``.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

import numpy as np

import cimc
from cimc.executor import Executor
from cimc.targets import list_targets, load_target
from cimc.targets.compatibility import FIXED, switched_on
from tests.end_to_end.nonidealities import Bench, interval
from tests.end_to_end.tables import rows_of
from tests.zoo import cache
from tests.zoo.resnet8 import PATH
from tests.zoo.results import write_table
from tests.zoo.task import Array

#: When chips are looked at, after their own time of evaluation [s].
TIMES: Final = {"a day": 86_400.0, "a month": 2_592_000.0}
HEADER: Final = (
    "target", "arrays", "levels", "ideal", "noise-free", "chips", *(f"after {t}" for t in TIMES),
)  # fmt: skip


def at(bench: Bench, time_s: float | None) -> str:
    """Return top-1 of the chips at a time, with its interval [%]."""
    effects = switched_on(load_target(bench.program.target["name"]))
    seeds = range(1 if effects <= FIXED else bench.chips)
    tops = []
    for seed in seeds:
        chip = Executor(bench.program, mode="chip", seed=seed, batch=250, at_s=time_s)
        (out,) = chip.run(bench.images).outputs.values()
        tops.append(bench.top1(out))
    return interval(tops)


def row(name: str, images: dict[str, Array], labels: Array, chips: int) -> tuple[str, ...]:
    """Return the row of one target."""
    target = load_target(name)
    program = cimc.compile(PATH, target=target, data=cache.data("fashion-calibration.npz"))
    bench = Bench(program, images, labels, chips)
    fixed = [f"{bench.top1(bench.logits(mode, 0, None)):.2f}" for mode in ("ideal", "noise-free")]
    ages = switched_on(target) & {"drift", "relaxation", "one-over-f"}
    later = [at(bench, time_s) if ages else "" for time_s in TIMES.values()]
    levels = target.cell.default_levels
    if target.slices is not None:
        levels = 2**target.slices.count
    return (
        f"`{name}`",
        f"{program.arrays:,}",
        "float" if levels is None else str(levels),
        *fixed,
        at(bench, None),
        *later,
    )


def uncompensated(images: dict[str, Array], labels: Array, chips: int) -> tuple[str, ...]:
    """Return the row of the PCM target without drift compensation."""
    target = load_target("pcm").changed({"noise.drift.compensation": "none"})
    program = cimc.compile(PATH, target=target, data=cache.data("fashion-calibration.npz"))
    bench = Bench(program, images, labels, chips)
    chips_at = [at(bench, time_s) for time_s in (None, *TIMES.values())]
    return "`pcm`, not compensated", f"{program.arrays:,}", "16", "", "", *chips_at


def main() -> int:
    """Measure the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.devices")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=5)
    parser.add_argument("--only", help="one target")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    with np.load(cache.data("fashion-test.npz")) as file:
        images = {"image": file["image"][: given.images]}
        labels = file["labels"][: given.images]
    names = [name for name in list_targets() if given.only in (None, name)]
    rows = rows_of([(n, partial(row, n, images, labels, given.chips)) for n in names])
    if given.only in (None, "pcm"):
        last = partial(uncompensated, images, labels, given.chips)
        rows += rows_of([("pcm, not compensated", last)])
    if given.write:
        note = (
            f"Top-1 [%] of ResNet-8 on {given.images:,} test images of Fashion-MNIST, compiled "
            "for each shipped target with its own levels and 512 calibration images, no training "
            f"after. Mean of {given.chips} chips, seeds 0 to {given.chips - 1}, ± half the width "
            "of Student's 95 % interval, at the target's time of evaluation and later where it "
            "ages; flash was measured for 5 days, a month is extrapolated. The network needs 10 "
            "arrays of 128 x 128 and does not fit `rram-tiny`. [Devices compared](../devices.md) "
            "says what the targets are."
        )
        command = "python -m tests.end_to_end.devices --write"
        if (given.images, given.chips) != (1000, 5):
            command += f" --images {given.images} --chips {given.chips}"
        write_table("devices", "Shipped targets", command, HEADER, rows, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
