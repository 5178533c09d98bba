"""The public verbs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cimc.executor import Executor
from cimc.faults import FaultMap, laid_over
from cimc.ir.network import Array
from cimc.pipeline.compile import compile_model
from cimc.pipeline.sensitivity_report import SensitivityReport
from cimc.program import read
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.verification import VerifyReport, load_data
from cimc.verification import verify as verify_program
from cimc.verification.data import check_data
from cimc.verification.effects import Names, Time, select
from cimc.verification.reference import Reference

_LOG = logging.getLogger(__name__)

__all__ = ["compile", "load", "recompile", "run", "sensitivity", "verify"]


def compile(model: Any, *, target: str | Path | Target, **options: Any) -> DeviceProgram:
    """Compile a trained network to a device program.

    Args:
        model: Path of an ONNX file, an ONNX model, or a torch module with ``example_inputs``.
        target: Path or shipped name of a target, or a target.
        **options: As :func:`cimc.pipeline.compile_model` takes them.

    Returns:
        The program; :func:`cimc.pipeline.compile_model` gives the report too.
    """
    return compile_model(model, target=target, **options).program


def load(path: str | Path) -> DeviceProgram:
    """Read a device program and check everything in it.

    Raises:
        ProgramError: It is broken, hostile or of another version.
    """
    return read(Path(path))


def recompile(
    program: DeviceProgram | str | Path, fault_map: FaultMap | str | Path, **options: Any
) -> DeviceProgram:
    """Make a program for one chip from a program for any: only what depends on the chip is redone.

    Args:
        program: The program, or its path.
        fault_map: The chip's faults, or their file.
        **options: As :func:`cimc.pipeline.recompile.recompile` takes them: ``output``,
            ``method``, ``data``, ``settings``, ``skip``, ...

    Returns:
        The program; :func:`cimc.pipeline.recompile.recompile` gives the report too.
    """
    from cimc.pipeline.recompile import recompile as for_chip

    return for_chip(program, fault_map, **options).program


def run(
    program: DeviceProgram | str | Path,
    inputs: Mapping[str, Array] | str | Path,
    *,
    mode: Literal["ideal", "noise-free", "chip"] = "chip",
    seed: int = 0,
    only: Names = None,
    without: Names = None,
    at: Time = None,
    fault_map: FaultMap | str | Path | None = None,
    any_chip: bool = False,
    device: str = "cpu",
    batch: int | None = None,
) -> dict[str, Array]:
    """Run a device program on the reference executor.

    Args:
        program: The program, or its path.
        inputs: One array an input, by name; or the path of an ``.npz``.
        mode: ``ideal``: cells exactly at their targets, exact arithmetic; ``noise-free``: with
            converters; ``chip``: everything.
        seed: The chip.
        only: In mode ``chip``: these non-idealities and no others, see
            ``cimc.targets.compatibility.SWITCHES``.
        without: In mode ``chip``: everything the target describes but these.
        at: In mode ``chip``: time after programming, written (``1d``) or in seconds; None: the
            target's ``read.at``.
        fault_map: Faults of the chip, or their file, in place of those the program was compiled
            for; in every mode.
        any_chip: Let a program for one chip run with the fault map of another.
        device: torch device.
        batch: Most samples at once.

    Returns:
        One array an output, by name.
    """
    loaded = program if isinstance(program, DeviceProgram) else load(program)
    if fault_map is not None:
        loaded, told = laid_over(loaded, fault_map, any_chip=any_chip)
        for line in told:
            _LOG.warning(line)
    if isinstance(inputs, str | Path):
        inputs = check_data(load_data(inputs), loaded.inputs).inputs
    selection = select(loaded, only, without, at, mode)
    executor = Executor(
        loaded,
        mode=mode,
        seed=seed,
        device=device,
        batch=batch,
        effects=frozenset(selection.effects),
        at_s=selection.at_s,
    )
    return dict(executor.run(inputs).outputs)


def verify(
    program: DeviceProgram | str | Path,
    *,
    reference: Reference | None = None,
    data: Mapping[str, Array] | str | Path | None = None,
    **options: Any,
) -> VerifyReport:
    """Run a device program on many simulated chips and compare it with the float network.

    Args:
        program: The program, or its path.
        reference: The original model: path of an ONNX file, or a function.
        data: One array an input by name, optional ``labels``; or the path of an ``.npz``.
        **options: As :func:`cimc.verification.verify` takes them: ``chips``, ``max_drop``, ...
    """
    loaded = program if isinstance(program, DeviceProgram) else load(program)
    arrays = load_data(data) if isinstance(data, str | Path) else data
    return verify_program(loaded, reference=reference, data=arrays, **options)


def sensitivity(
    program: DeviceProgram | str | Path,
    *,
    reference: Reference,
    data: Mapping[str, Array] | str | Path,
    **options: Any,
) -> SensitivityReport:
    """Measure what each non-ideality costs, or how accuracy depends on one parameter.

    Args:
        program: The program, or its path.
        reference: The original model: path of an ONNX file, or a function.
        data: One array an input by name, optional ``labels``; or the path of an ``.npz``.
        **options: As :func:`cimc.pipeline.sensitivity.sensitivity` takes them: ``sweep``,
            ``output``, ``chips``, ``samples``, ...
    """
    from cimc.pipeline.sensitivity import sensitivity as study

    loaded = program if isinstance(program, DeviceProgram) else load(program)
    return study(loaded, reference=reference, data=data, **options)
