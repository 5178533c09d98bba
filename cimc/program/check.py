"""Is a device program right?  One rule a function; writing and reading apply all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cimc.errors import ProgramError, TargetError
from cimc.program.check_data import check_vectors
from cimc.program.check_graph import check_operations
from cimc.program.check_layers import check_crossbars
from cimc.program.check_tiles import check_placement
from cimc.program.model import DeviceProgram
from cimc.program.originals import before_the_chip
from cimc.targets import Target


def check(
    program: DeviceProgram, *, ranges: Mapping[str, tuple[float, float]] | None = None
) -> None:
    """Check the meaning of a program.

    Args:
        program: The program.
        ranges: Least and greatest value of float32 tensors of ``program.safetensors`` by name,
            where they are known already; the others are looked at.

    Raises:
        ProgramError: ``CIMC-P12``..``CIMC-P24``, the first thing wrong.
    """
    target = _target(program.target)
    check_operations(program)
    check_crossbars(program, target, ranges or {})
    check_placement(program, target)
    check_vectors(program, target)
    _check_originals(program, target)


def _check_originals(program: DeviceProgram, target: Target) -> None:
    """What the program was before it was made for a chip is as right as what it is."""
    before = before_the_chip(program)
    if before is None:
        return
    try:
        check_crossbars(before, target, {})
        check_placement(before, target)
    except ProgramError as error:
        error.where = f"originals: {error.where}"
        raise


def _target(data: Mapping[str, Any]) -> Target:
    """The target is one that this version of cimc accepts."""
    try:
        return Target.from_plain(dict(data), name="target")
    except TargetError as error:
        problems = [line.strip() for line in error.message.splitlines()]
        raise ProgramError(
            "CIMC-P12", f"the target is not valid: {'; '.join(problems)[:500]}", where="target"
        ) from error
