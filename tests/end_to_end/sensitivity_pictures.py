"""The pictures of docs/sensitivity.md: ``python -m tests.end_to_end.sensitivity_pictures``.

An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import cimc
from cimc.targets import Target, load_target
from tests.end_to_end.everything import everything
from tests.zoo import cache
from tests.zoo.cache import CACHE, ROOT
from tests.zoo.resnet8 import PATH

PICTURES = ROOT / "docs" / "pictures"
KEPT = CACHE / "sensitivity"
SAMPLES, CHIPS = 1000, 10

#: Name of the picture: target, what is swept, time after programming.
STUDIES: dict[str, tuple[Target, str | None, str | None]] = {
    "sensitivity-each": (everything(wires=False), None, None),
    "sensitivity-sigma": (
        load_target("rram"), "noise.programming.sigma=0 uS,0.1 uS,0.226 uS,0.5 uS,1 uS,1.5 uS",
        None,
    ),
    "sensitivity-adc": (load_target("rram"), "adc.bits=3,4,5,6,7,8", None),
    "sensitivity-rows": (load_target("rram-wires"), "array.rows=32,64,128,256", None),
    "sensitivity-time": (
        load_target("pcm"),
        "at=20 s,1 h,1 d,1 month,1 y", None,
    ),
    "sensitivity-wires": (
        load_target("rram-wires"),
        "wires.word_line+wires.bit_line=0 ohm,0.5 ohm,1 ohm,2 ohm,5 ohm", None,
    ),
}  # fmt: skip


def study(name: str, samples: int, chips: int) -> None:
    """Make one picture; its finished points are kept in the cache."""
    target, sweep, at = STUDIES[name]
    with np.load(cache.data("fashion-test.npz")) as file:
        data = {"image": file["image"], "labels": file["labels"]}
    KEPT.mkdir(parents=True, exist_ok=True)
    calibration = cache.data("fashion-calibration.npz")
    program = cimc.compile(PATH, target=target, levels=16, data=calibration)
    report = cimc.sensitivity(
        program,
        reference=PATH,
        data=data,
        sweep=sweep,
        at=at,
        output=KEPT / f"{name}.svg",
        chips=chips,
        samples=samples,
        calibration=calibration,
        resume=(KEPT / f"{name}.json").exists(),
        found=lambda p: print_line(name, p.label, p.mean),
    )
    PICTURES.mkdir(exist_ok=True)
    content = (KEPT / f"{name}.svg").read_bytes()
    with tempfile.NamedTemporaryFile(dir=PICTURES, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(PICTURES / f"{name}.svg")
    print_line(name, f"{report.seconds:.0f} s", report.ideal)


def print_line(name: str, label: str, mean: float) -> None:
    """Say what was found."""
    sys.stdout.write(f"{name}: {label}: {100 * mean:.2f} %\n")
    sys.stdout.flush()


def main() -> int:
    """Make the pictures asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.sensitivity_pictures")
    parser.add_argument("names", nargs="*", default=list(STUDIES))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--chips", type=int, default=CHIPS)
    given = parser.parse_args()
    for name in given.names:
        study(name, given.samples, given.chips)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
