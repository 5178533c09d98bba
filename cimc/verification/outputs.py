"""Run a program over a data set and keep the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy.typing as npt

from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.verification.batches import batch_size, join, split
from cimc.verification.data import check_data
from cimc.verification.effects import Names, Time, select
from cimc.verification.options import Progress, silent

Array = npt.NDArray[Any]


def run_program(
    program: DeviceProgram,
    data: Mapping[str, Array],
    *,
    mode: Literal["ideal", "noise-free", "chip"] = "chip",
    seed: int = 0,
    only: Names = None,
    without: Names = None,
    at: Time = None,
    progress: Progress = silent,
) -> dict[str, Array]:
    """Return the outputs of a program by name, one array for all samples.

    Args:
        program: What to run.
        data: One array per input by name, first axis samples.
        mode: ``ideal``, ``noise-free`` or ``chip``.
        seed: The chip.
        only: In mode ``chip``: these non-idealities and no others.
        without: In mode ``chip``: everything the target describes but these.
        at: In mode ``chip``: time after programming, ``1d`` or seconds; None: the target's.
        progress: Told the share of samples run.

    Raises:
        ModelError: CIMC-M71..M79, the data do not fit the program.
        UsageError: CIMC-U06, CIMC-U08, CIMC-U47, see :func:`cimc.verification.effects.select`.
    """
    checked = check_data(data, program.inputs)
    feeds = split(checked, program.inputs, batched=program.batched, batch=batch_size(checked))
    selection = select(program, only, without, at, mode)
    chip = mode == "chip"
    executor = Executor(
        program,
        mode=mode,
        seed=seed,
        effects=frozenset(selection.effects) if chip else None,
        at_s=selection.at_s if chip else None,
    )
    parts = []
    for i, feed in enumerate(feeds):
        parts.append(dict(executor.run(feed).outputs))
        progress("run", (i + 1) / len(feeds))
    return join(parts)
