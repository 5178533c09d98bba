"""What each non-ideality does to one network: ``python -m tests.end_to_end.nonidealities``.

ResNet-8 is compiled once for a chip that has all of them (``nonideal.yaml``).  Then each is left
alone on an otherwise ideal chip, and each is taken away from the chip that has all.  ``--write``
keeps the table in ``docs/results``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

import cimc
from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.targets import Target, load_target
from cimc.targets.compatibility import EFFECTS, FIXED, switched_on
from cimc.verification.intervals import student
from tests.zoo import cache
from tests.zoo.resnet8 import PATH
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array

TARGET: Final = Path(__file__).with_name("nonideal.yaml")
CONFIDENCE: Final = 0.95

#: The rows of [STE] Table I, and the non-idealities that are meant.
STE_ROWS: Final = {
    "ADC noise": ("adc",),
    "DAC noise": ("dac",),
    "Device non-linearity": ("nonlinearity",),
    "Programming noise": ("programming",),
    "Cycle-by-cycle read variance": ("read",),
    "Thermal variation": ("temperature", "johnson"),
    "Retention": ("drift", "relaxation"),
    "IR-drop": ("ir-drop",),
}

#: Errors of converters: alone means with the converter, compared with it.
OF_CONVERTERS: Final = frozenset({"adc-offset", "adc-gain", "adc-noise"})

#: Settings of the chip whose currents drop: an I-V curve and wires are not modelled together.
WIRED: Final = {"cell.nonlinearity": None, "wires.word_line": "1 ohm", "wires.bit_line": "1 ohm"}


def alone(name: str) -> frozenset[str]:
    """Return a non-ideality with what it cannot be without."""
    return frozenset({name, "adc"} if name in OF_CONVERTERS else {name})


def device(*, wired: bool = False) -> Target:
    """Return the chip with every non-ideality; wired: with IR drop in place of an I-V curve."""
    target = load_target(TARGET)
    return target.changed(WIRED) if wired else target


def on(program: DeviceProgram, target: Target) -> DeviceProgram:
    """Return the same program on a chip with other non-idealities."""
    return replace(program, target=target.plain())


@dataclass(frozen=True)
class Bench:
    """A program and the images it is run on.

    Attributes:
        program: Compiled once.
        images: Input, by its name.
        labels: Class of each image.
        chips: How many chips are drawn; their seeds are 0, 1, ...
    """

    program: DeviceProgram
    images: dict[str, Array]
    labels: Array
    chips: int

    def logits(self, mode: str, seed: int, effects: frozenset[str] | None) -> Array:
        """Return the outputs of one chip."""
        executor = Executor(self.program, mode=mode, seed=seed, effects=effects, batch=250)  # type: ignore[arg-type]
        (out,) = executor.run(self.images).outputs.values()
        return out

    def scores(self, effects: frozenset[str], base: Array) -> tuple[list[float], float]:
        """Return top-1 of each chip [%] and the mean relative error of the outputs [%].

        The error is the root mean square difference from the outputs ``base``, relative to their
        spread.  Where every chip is the same, one is run.
        """
        seeds = range(1 if effects <= FIXED else self.chips)
        outs = [self.logits("chip", seed, effects) for seed in seeds]
        tops = [self.top1(out) for out in outs] * (self.chips // len(outs))
        spread = float(np.std(base - base.mean(axis=1, keepdims=True)))
        errors = [float(np.sqrt(np.mean((out - base) ** 2))) / spread for out in outs]
        return tops, 100.0 * math.fsum(errors) / len(errors)

    def top1(self, out: Array) -> float:
        """Return the share of images whose class is found [%]."""
        return 100.0 * float(np.mean(out.argmax(1) == self.labels))


def interval(values: Sequence[float]) -> str:
    """Return mean and half width of the confidence interval over chips."""
    mean = math.fsum(values) / len(values)
    found = student(values, CONFIDENCE)
    if found.low is None or found.high is None or found.high - found.low < 0.005:
        return f"{mean:.2f}"
    return f"{mean:.2f} ± {0.5 * (found.high - found.low):.2f}"


def change(values: Sequence[float], base: Sequence[float]) -> str:
    """Return the mean of the differences, chip by chip, with the half width of its interval."""
    text = interval([v - b for v, b in zip(values, base, strict=True)])
    text = text.replace("-0.00", "0.00", 1) if text.startswith("-0.00") else text
    return text if text.startswith("-") else f"+{text}"


def effect_rows(
    bench: Bench, names: Sequence[str], say: Callable[[Sequence[str]], None]
) -> list[list[str]]:
    """Return a row a non-ideality: alone, and all but it.

    Args:
        bench: The program on a chip that has them all.
        names: Switches of the rows.
        say: Called with each row once it is measured.
    """
    everything = switched_on(Target.from_plain(bench.program.target))
    ideal = bench.logits("ideal", 0, None)
    converted = bench.logits("chip", 0, frozenset({"adc"}))
    everywhere, _ = bench.scores(everything, ideal)
    titles = {effect.name: effect.title for effect in EFFECTS}
    named = {name: row for row, switches in STE_ROWS.items() for name in switches}
    rows = []
    for name in names:
        base = converted if name in OF_CONVERTERS else ideal
        only, error = bench.scores(alone(name), base)
        without, _ = bench.scores(everything - {name}, ideal)
        rows.append(
            [
                titles[name],
                f"`{name}`",
                named.get(name, ""),
                f"{error:.2g}",
                interval(only),
                change(only, [bench.top1(base)] * bench.chips),
                interval(without),
                change(without, everywhere),
            ]
        )
        say(rows[-1])
    return rows


HEADER: Final = (
    "non-ideality", "switch", "[STE] Table I", "alone: error of outputs [%]", "alone: top-1",
    "against ideal", "all but it: top-1", "against all",
)  # fmt: skip


def levels(bench: Bench, title: str) -> list[str]:
    """Return the line that says what the ideal, noise-free and full chips reach."""
    ideal = bench.logits("ideal", 0, None)
    everything = switched_on(Target.from_plain(bench.program.target))
    tops, error = bench.scores(everything, ideal)
    noise_free = bench.top1(bench.logits("noise-free", 0, None))
    figures = f"ideal {bench.top1(ideal):.2f}, noise-free {noise_free:.2f}"
    return [f"{title}: {figures}, all {interval(tops)} (error of outputs {error:.2g} %)."]


def measure(images: int, chips: int, *, write: bool) -> None:
    """Measure the table and, if asked to, write it."""
    began = time.perf_counter()
    with np.load(cache.data("fashion-test.npz")) as file:
        given = {"image": file["image"][:images]}
        labels = file["labels"][:images]
    program = cimc.compile(PATH, target=device(), data=cache.data("fashion-calibration.npz"))
    plain = Bench(program, given, labels, chips)
    wired = replace(plain, program=on(program, device(wired=True)))

    def say(row: Sequence[str]) -> None:
        sys.stdout.write(f"{table_row(row)}\n")
        sys.stdout.flush()

    names = [e.name for e in EFFECTS if e.name in switched_on(device())]
    rows = effect_rows(plain, [n for n in names if n is not None], say)
    rows += effect_rows(wired, ["ir-drop"], say)
    if write:
        summary = levels(plain, "Top-1 [%] of the chip of the table")
        summary += levels(wired, "Of the chip with wires of 1 ohm a cell and no I-V curve")
        note = (
            f"ResNet-8 on {images:,} test images of Fashion-MNIST, compiled once with 16 levels "
            "for the chip `tests/end_to_end/nonideal.yaml`: every non-ideality at a chosen, "
            "moderate strength, one day after programming, at 310 K. IR drop is measured on "
            "the same program with wires and without the I-V curve. Seeds: 0 for the compiler, "
            f"0 to {chips - 1} for the {chips} chips, the same ones in every row; ± is the half "
            f"width of Student's {100 * CONFIDENCE:.0f} % interval over chips, of differences "
            'chip by chip in the columns "against". Where all chips are the same (converters, I-V '
            "curve, temperature, IR drop) there is none. The error of outputs is the root mean "
            "square difference from the ideal logits, relative to their spread. Errors of "
            "converters are added to, and compared with, a chip that only has the converter. "
            + " ".join(summary)
            + f" Torch {torch.__version__}; {time.perf_counter() - began:.0f} s in all."
        )
        command = "python -m tests.end_to_end.nonidealities --write"
        if (images, chips) != (1000, 5):
            command += f" --images {images} --chips {chips}"
        write_table("nonidealities", "Effect of each non-ideality", command, HEADER, rows, note)


def main() -> int:
    """Measure the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.nonidealities")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--chips", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    measure(given.images, given.chips, write=given.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
