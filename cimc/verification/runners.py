"""What runs a program in each mode, with the non-idealities that were asked for."""

from __future__ import annotations

from cimc.program.model import DeviceProgram
from cimc.verification.effects import Selection
from cimc.verification.scoring import ExecutorFactory, Runner


def executors(selection: Selection) -> ExecutorFactory:
    """Return a maker of reference executors whose chips have the selected non-idealities."""

    def make(program: DeviceProgram, mode: str, seed: int) -> Runner:
        from cimc.executor import Executor

        chip = mode == "chip"
        runner: Runner = Executor(
            program,
            mode=mode,
            seed=seed,
            effects=frozenset(selection.effects) if chip else None,
            at_s=selection.at_s if chip else None,
        )
        return runner

    return make
