"""What runs a program in each mode, with the non-idealities that were asked for."""

from __future__ import annotations

from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.verification.effects import Selection
from cimc.verification.measured_chips import Measured, MeasuredChips, sources_of
from cimc.verification.scoring import ExecutorFactory, Runner


def executors(selection: Selection, measured: Measured = None) -> ExecutorFactory:
    """Return a maker of reference executors whose chips have the selected non-idealities.

    Args:
        selection: What chips have.
        measured: Read-backs the chips' conductances come from; None: they are simulated.
    """
    sources = sources_of(measured)

    def make(program: DeviceProgram, mode: str, seed: int) -> Runner:
        chip = mode == "chip"
        if chip and sources:
            return MeasuredChips(program, sources, selection, seed)
        runner: Runner = Executor(
            program,
            mode=mode,
            seed=seed,
            effects=frozenset(selection.effects) if chip else None,
            at_s=selection.at_s if chip else None,
        )
        return runner

    return make
