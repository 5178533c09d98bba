"""Measure the networks of the zoo: ``python -m tests.end_to_end.tables networks|resnet8|light``.

``--write`` keeps the table in ``docs/results``; ``--only NAME`` takes one network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

import cimc
from cimc.errors import CimcError
from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from tests.zoo import cache, light
from tests.zoo.resnet8 import PATH
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array, Run, Task, one_by_one, reference
from tests.zoo.tasks import TASKS

CHIPS = 3
Rows = list[tuple[str, ...]]


def relative_error(got: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the largest ``max|got - expected| / max|expected|`` of the outputs."""
    return max(
        float(np.abs(got[name] - value).max() / np.abs(value).max())
        for name, value in expected.items()
    )


def weights(program: DeviceProgram) -> int:
    """Return how many weights are on crossbars."""
    return sum(layer.cells.planes[0].numel() for layer in program.layers.values())


def runner(program: DeviceProgram, mode: str, seed: int = 0) -> Run:
    """Return the program as a function of its inputs."""
    executor = Executor(program, mode=mode, seed=seed)  # type: ignore[arg-type]
    return lambda inputs: dict(executor.run(inputs).outputs)


def oracle(task: Task) -> Run:
    """Return the float network; one sample at a time where its batch is fixed."""
    run = reference(task.model())
    return one_by_one(run) if task.name == "mnist-conv" else run


def network(task: Task) -> tuple[str, ...]:
    """Return the row of one network."""
    example, expected = task.example(), oracle(task)
    exact = cimc.compile(task.model(), target="ideal", data=task.calibration())
    error = relative_error(runner(exact, "ideal")(example), expected(example))
    program = cimc.compile(task.model(), target="rram", levels=16, data=task.calibration())
    chips = [task.score(runner(program, "chip", seed)) for seed in range(CHIPS)]
    scores = [task.score(runner(program, mode)) for mode in ("ideal", "noise-free")]
    return (
        task.name,
        f"{weights(program):,}",
        f"{program.arrays:,}",
        f"{error:.1e}",
        task.metric,
        f"{task.score(expected):.2f}",
        *(f"{score:.2f}" for score in scores),
        f"{np.mean(chips):.2f}",
        f"{min(chips):.2f}",
    )


def networks(only: str | None, *, write: bool) -> None:
    """Every network of the zoo: exact on ``ideal``, its task metric on ``rram`` with 16 levels."""
    header = ("network", "weights on crossbars", "arrays", "relative error on `ideal`", "metric")
    header += ("float", "rram ideal", "noise-free", f"mean of {CHIPS} chips", "worst")
    chosen = [task for task in TASKS if only in (None, task.name)]
    rows = rows_of([(task.name, partial(network, task)) for task in chosen])
    if write:
        note = (
            "The relative error compares real inputs with onnxruntime, largest over outputs. "
            "Scores in percent; `rram` with 16 Lloyd levels a column, no training after; every "
            "layer is analog and quantized, the first and the last too. Digits, faces and speech "
            "are calibrated on a part of what is scored, for want of more; the others are not."
        )
        command = "python -m tests.end_to_end.tables networks --write"
        write_table("networks", "Networks", command, header, rows, note)


def resnet8(only: str | None, *, write: bool) -> None:
    """ResNet-8 on Fashion-MNIST: levels against top-1, without and with calibration images."""
    del only
    header = (
        "levels",
        "of each",
        "calibration",
        "float",
        "ideal",
        "noise-free",
        "mean of 5 chips",
        "worst",
    )
    with np.load(cache.data("fashion-test.npz")) as file:
        test = {"image": file["image"], "labels": file["labels"]}

    def row(levels: int, data: str | None, per_column: bool) -> tuple[str, ...]:
        calibration = None if data is None else cache.data(data)
        program = cimc.compile(
            PATH, target="rram", levels=levels, per_column=per_column, data=calibration
        )
        report = cimc.verify(program, reference=PATH, data=test, chips=5)
        figures = (report.reference, report.ideal, report.noise_free, report.mean, report.min)
        shown = (f"{100 * figure:.2f}" for figure in figures if figure is not None)
        of_each = "column" if per_column else "layer"
        return str(levels), of_each, "512 images" if data else "none", *shown

    rows = rows_of(
        [
            (f"{levels} levels", partial(row, levels, data, per_column))
            for data in (None, "fashion-calibration.npz")
            for per_column in (False, True)
            for levels in (4, 8, 16)
        ]
    )
    if write:
        note = "Top-1 [%] on the 10,000 test images, `rram`, Lloyd levels, no training after."
        command = "python -m tests.end_to_end.tables resnet8 --write"
        write_table("resnet8", "ResNet-8 on Fashion-MNIST", command, header, rows, note)


def topology(name: str) -> tuple[str, ...]:
    """Return the row of one ImageNet topology."""
    path = light.model(name)
    inputs = light.inputs(path)
    program = cimc.compile(path, target="ideal")
    error = relative_error(runner(program, "ideal")(inputs), reference(path)(inputs))
    return name, f"{weights(program):,}", str(len(program.layers)), f"{error:.1e}"


def topologies(only: str | None, *, write: bool) -> None:
    """The nine ImageNet topologies of the onnx package with random weights, on ``ideal``."""
    header = ("network", "weights on crossbars", "layers", "relative error")
    chosen = [name for name in light.NAMES if only in (None, name)]
    rows = rows_of([(name, partial(topology, name)) for name in chosen])
    if write:
        note = "Against onnxruntime on a random image; seeded random weights."
        command = "python -m tests.end_to_end.tables light --write"
        write_table("topologies", "ImageNet topologies", command, header, rows, note)


def rows_of(cells: Sequence[tuple[str, Callable[[], tuple[str, ...]]]]) -> Rows:
    """Make the rows one by one, showing each; a network that fails is shown and left out."""
    rows: Rows = []
    for name, make in cells:
        try:
            row = make()
        except (CimcError, cache.MissingError, RuntimeError, ValueError) as error:
            sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
            continue
        sys.stdout.write(table_row(row) + "\n")
        sys.stdout.flush()
        rows.append(row)
    return rows


TABLES = {"networks": networks, "resnet8": resnet8, "light": topologies}


def main() -> int:
    """Measure the tables asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.tables")
    parser.add_argument("tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--only", help="one network")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    for name in given.tables:
        TABLES[name](given.only, write=given.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
