"""A quick engine: the program as it is, with the faults of the chip embedded.

What a chip is called says what else happens to it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cimc.errors import FitError
from cimc.faults import FaultMap
from cimc.fleets.engine import ForChip
from cimc.fleets.settings import FleetSettings
from cimc.program import write
from cimc.program.model import DeviceProgram

#: Cells of the chain of :mod:`tests.fleets.conftest`, whatever lies where.
CELLS = 112


def engine(program: DeviceProgram, settings: FleetSettings) -> ForChip:
    """Embed the faults; neighbours of faulty cells are not looked at."""

    def for_chip(faults: FaultMap, output: Path) -> tuple[DeviceProgram, Mapping[str, Any]]:
        if faults.chip.startswith("refused"):
            raise FitError("CIMC-S01", f"{faults.chip} has no room", where="array 3")
        if faults.chip.startswith("broken"):
            raise ZeroDivisionError("of the stand-in")
        if faults.chip.startswith("fatal"):
            os.kill(os.getpid(), signal.SIGKILL)
        if faults.chip.startswith("once") and (mark := output.parents[2] / "once").exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if faults.chip.startswith("slow"):
            time.sleep(0.15)
        made = replace(program, faults=faults.record(), golden=None, sha256="")
        sha256 = write(made, output)
        count = len(faults.cells)
        report = {
            "sha256": sha256,
            "chip": faults.chip,
            "cells": CELLS,
            "faulty_cells": count,
            "affected_weights": count,
            "remapped_weights": 0,
            "unreachable_weights": count,
            "output_error_before": 0.02 * count,
            "output_error_after": 0.01 * count,
        }
        return replace(made, sha256=sha256), report

    return for_chip


def refusing(program: DeviceProgram, settings: FleetSettings) -> ForChip:
    """Refuse the program as a whole."""
    raise FitError("CIMC-S02", "no chip of this target will do", where="the program")


def dying(program: DeviceProgram, settings: FleetSettings) -> ForChip:
    """Die before anything is done."""
    sys.stdout.write("the last words\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
