"""What the resistance of wires costs real networks: ``python -m tests.end_to_end.ir_drop_table``.

``--write`` keeps the table in ``docs/results/ir-drop.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

import cimc
from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.targets import load_target
from tests.zoo import cache
from tests.zoo.resnet8 import PATH
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array, percent

SIZES, OHMS, CHIPS, LEVELS = (128, 256), (0.0, 0.5, 1.0, 2.0, 5.0), 3, 16
#: Network, calibration inputs, and what is scored: file, samples, input, output.
NETWORKS = {
    "mnist-conv": (cache.MODELS / "mnist-conv.onnx", "digits-calibration.npz", "digits.npz", 5000),
    "resnet8-fashion": (PATH, "fashion-calibration.npz", "fashion-test.npz", 2000),
}


def with_wires(program: DeviceProgram, size: int, ohm: float) -> DeviceProgram:
    """Return a program on the same device with other wires."""
    given = {"word_line": f"{ohm} ohm", "bit_line": f"{ohm} ohm"}
    target = load_target("rram").changed(
        {"array.rows": size, "array.columns": size, "wires": given if ohm else {}}
    )
    return replace(program, target=target.plain())


def score(chip: Executor, inputs: Mapping[str, Array], labels: Array) -> float:
    """Return the top-1 of one chip [%]."""
    (output,) = chip.run(inputs).outputs.values()
    return percent(output.argmax(1) == labels)


def row(name: str, size: int, ohm: float, program: DeviceProgram) -> tuple[str, ...]:
    """Return the figures of one network on arrays of one size with one resistance."""
    _, _, test, samples = NETWORKS[name]
    with np.load(cache.data(test)) as file:
        data = {key: file[key][:samples] for key in file.files}
    labels = data.pop("labels")
    program = with_wires(program, size, ohm)
    wired = Executor(program, batch=250, effects={"dac", "adc", "ir-drop"})
    alone = score(wired, data, labels)
    chip, scores, seconds = Executor(program, batch=250), [], []
    for seed in range(1, CHIPS + 1):
        start = time.process_time()
        chip = chip.chip(seed)
        seconds.append(time.process_time() - start)
        scores.append(score(chip, data, labels))
    return (
        name,
        f"{size} x {size}",
        str(program.arrays),
        f"{ohm:g}",
        f"{alone:.2f}",
        f"{np.mean(scores):.2f}",
        f"{min(scores):.2f}",
        f"{min(seconds):.2f}",
    )


def main() -> int:
    """Measure, show, and keep the table when asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.ir_drop_table")
    parser.add_argument("--write", action="store_true", help="write docs/results/ir-drop.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (model, calibration, _, _) in NETWORKS.items():
        for size in SIZES:
            target = load_target("rram").changed({"array.rows": size, "array.columns": size})
            data = cache.data(calibration)
            program = cimc.compile(model, target=target, levels=LEVELS, data=data)
            for ohm in OHMS:
                rows.append(row(name, size, ohm, program))
                sys.stdout.write(table_row(rows[-1]) + "\n")
                sys.stdout.flush()
    if given.write:
        note = (
            f"Top-1 [%]; `rram` with {LEVELS} Lloyd levels, no training after; the same "
            "resistance in word lines and bit lines, none in drivers and amplifiers. *Wires* is "
            "noise-free with wires; *chips* have programming noise too. Converter ranges are "
            "those of ideal wires. *Time* is the processor time of a chip before it can be read, "
            "all arrays solved exactly, one thread. Fashion-MNIST: the first 2,000 test images."
        )
        header = (
            "network",
            "arrays of",
            "arrays",
            "ohm a cell",
            "wires",
            f"mean of {CHIPS} chips",
        )
        header += ("worst", "time a chip [s]")
        command = "python -m tests.end_to_end.ir_drop_table --write"
        write_table("ir-drop", "IR drop", command, header, rows, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
