"""What makes the programs: the recompiler of the pipeline, or a stand-in of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cimc.faults import FaultMap
from cimc.fleets.settings import FleetSettings
from cimc.pipeline.recompile import Recompiler
from cimc.pipeline.recompile_training import ChipTraining
from cimc.pipeline.training_run import TrainingRequest
from cimc.program.model import DeviceProgram
from cimc.remap.settings import RemapSettings
from cimc.verification.data import load_data

#: Makes the program of one chip and writes it to a path; returns it, and the keys of the report.
ForChip = Callable[[FaultMap, Path], tuple[DeviceProgram, Mapping[str, Any]]]
#: Takes what all chips share and returns what makes the program of one: called once a worker.
Engine = Callable[[DeviceProgram, FleetSettings], ForChip]


def recompiler(program: DeviceProgram, settings: FleetSettings) -> ForChip:
    """Return :func:`cimc.recompile` for the chips of one program."""
    chosen: dict[str, Any] = {"seed": settings.seed, "healthy": settings.healthy}
    if settings.cells is not None:
        chosen["cells"] = settings.cells
    shared = Recompiler(
        program,
        method=settings.method,
        data=settings.data,
        settings=RemapSettings(**chosen),
        skip=settings.skip,
    )
    samples = None if settings.train_data is None else load_data(settings.train_data)

    def training(output: Path) -> ChipTraining | None:
        request = TrainingRequest(samples)
        return ChipTraining.of(request, settings.recipe, None, shared.target, output=output)

    training(Path("any.cim"))  # what cannot be trained like that is refused before the first chip

    def for_chip(faults: FaultMap, output: Path) -> tuple[DeviceProgram, Mapping[str, Any]]:
        result = shared.for_chip(faults, output=output, training=training(output))
        return result.program, result.report.to_json()

    return for_chip
