"""What the options of ``cimc faults`` mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cimc.errors import UsageError
from cimc.faults.ranges import read_ranges
from cimc.faults.rates import Clusters, Rates

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cimc.faults import FaultMap
    from cimc.program.model import DeviceProgram
    from cimc.targets import Target


def _require_subject(program: str | None, target: str | None) -> None:
    """Refuse a program beside a target, and neither.

    Raises:
        UsageError: CIMC-U06.
    """
    if program is not None and target is not None:
        raise UsageError("CIMC-U06", "both PROGRAM and --target are given", hint="one of them")
    if program is None and target is None:
        raise UsageError(
            "CIMC-U06",
            "neither PROGRAM nor --target is given",
            hint="PROGRAM.cim for the arrays it uses, or --target T for a whole chip",
        )


def subject_of(program: str | None, target: str | None) -> tuple[Target | DeviceProgram, str]:
    """Return the program or the target that is given, and what to call it.

    Raises:
        UsageError: CIMC-U06, both are given, or neither.
    """
    _require_subject(program, target)
    if program is not None:
        from cimc.program import read

        return read(program), f"program {program}"
    from cimc.targets import load_target

    loaded = load_target(str(target))
    return loaded, f"target '{loaded.name}'"


def size_of(found: FaultMap) -> dict[str, Any]:
    """Return how many arrays a map describes, and how large they are."""
    return {
        "arrays": len(found.arrays), "array_rows": found.array_rows,
        "array_columns": found.array_columns,
    }  # fmt: skip


def arrays_of(text: str | None) -> npt.NDArray[np.int32] | None:
    """Return the arrays of ``--arrays``.

    Raises:
        UsageError: CIMC-U02, they are no numbers and ranges.
    """
    if text is None:
        return None
    try:
        found = read_ranges(text)
    except ValueError as error:
        raise UsageError("CIMC-U02", str(error), where="--arrays", hint="0-63,70") from None
    if not len(found):
        raise UsageError("CIMC-U02", "no arrays are named", where="--arrays", hint="0-63,70")
    return found


def rates_of(given: dict[str, Any]) -> Rates:
    """Return the rates that the options ask for.

    Raises:
        UsageError: CIMC-U02, a value is out of range; CIMC-U06, options contradict each other,
            or nothing is asked for.
    """
    states = {n: given[n] for n in ("at_g_min", "at_g_max", "at_conductance")}
    by_state = any(value is not None for value in states.values())
    if by_state and given["rate"] is not None:
        raise UsageError(
            "CIMC-U06",
            "both --rate and the rate of a state are given",
            hint="--rate with --lrs-share, or --at-g-min with --at-g-max",
        )
    names = ("row_rate", "column_rate", "sigma_lrs", "sigma_hrs")
    if not by_state and given["rate"] is None and not any(given[n] for n in names):
        raise UsageError("CIMC-U06", "no faults are asked for", hint="--rate 0.05")
    others = {n: given[n] for n in (*names, "distribution", "spread")}
    others |= {"conductance_us": _range(given["conductance"])}
    if given["conductance"] is not None and not (
        given["conductance_share"] or given["at_conductance"]
    ):
        raise UsageError(
            "CIMC-U06",
            "--conductance is given, and no cell is stuck at a conductance of its own",
            hint="--conductance-share S, or --at-conductance R",
        )
    others |= {"clusters": _clusters(given["clusters"])}
    if by_state:
        return Rates.of_states(**{n: v or 0.0 for n, v in states.items()}, **others)
    shares = {n: given[n] for n in ("lrs_share", "conductance_share")}
    return Rates(rate=given["rate"] or 0.0, **shares, **others)


def _range(text: str | None) -> tuple[float, float] | None:
    """Return the conductances of ``LOW..HIGH`` [uS]."""
    if text is None:
        return None
    low, dots, high = text.replace("uS", "").partition("..")
    try:
        return float(low), float(high if dots else low)
    except ValueError:
        raise UsageError(
            "CIMC-U02",
            f"{text!r} is no range of conductances",
            where="--conductance",
            hint="two numbers in uS such as 2.1..17.85",
        ) from None


def _clusters(text: str | None) -> Clusters | None:
    """Return the clusters of ``S[,N[,D]]``."""
    if text is None:
        return None
    try:
        figures = [float(part) for part in text.split(",")]
    except ValueError:
        figures = []
    if not 1 <= len(figures) <= 3:
        raise UsageError(
            "CIMC-U02",
            f"{text!r} does not say how faulty cells lie together",
            where="--clusters",
            hint="a share, hits of a cluster and its radius in cells, such as 0.5,8,2.5",
        )
    return Clusters(*figures)
