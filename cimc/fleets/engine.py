"""What makes the programs: the recompiler of the pipeline, or a stand-in of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cimc.faults import FaultMap
from cimc.fleets.settings import FleetSettings
from cimc.pipeline.recompile import Recompiler
from cimc.program.model import DeviceProgram
from cimc.remap.settings import RemapSettings

#: Makes the program of one chip and writes it to a path; returns it, and the keys of the report.
ForChip = Callable[[FaultMap, Path], tuple[DeviceProgram, Mapping[str, Any]]]
#: Takes what all chips share and returns what makes the program of one: called once a worker.
Engine = Callable[[DeviceProgram, FleetSettings], ForChip]


def recompiler(program: DeviceProgram, settings: FleetSettings) -> ForChip:
    """Return :func:`cimc.recompile` for the chips of one program."""
    chosen: dict[str, Any] = {"seed": settings.seed}
    if settings.cells is not None:
        chosen["cells"] = settings.cells
    options: dict[str, Any] = {}
    for name in ("train_data", "recipe"):
        if getattr(settings, name) is not None:
            options[name] = getattr(settings, name)
    shared = Recompiler(
        program,
        method=settings.method,
        data=settings.data,
        settings=RemapSettings(**chosen),
        skip=settings.skip,
        **options,
    )

    def for_chip(faults: FaultMap, output: Path) -> tuple[DeviceProgram, Mapping[str, Any]]:
        result = shared.for_chip(faults, output=output)
        return result.program, result.report.to_json()

    return for_chip
