"""Which non-idealities chips have, and at what time: ``--only``, ``--without``, ``--at``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.targets.compatibility import FLUCTUATIONS, SWITCHES, switched_on
from cimc.targets.units import LONG_TIMES, parse
from cimc.verification.randomness import random

#: Names of non-idealities: one string with commas, or several.
Names = str | Sequence[str] | None
#: A written time (``1d``, ``30 s``) or seconds.
Time = str | float | None

#: Longest time a target may describe [s].
_LONGEST_S = 1e11


@dataclass(frozen=True, slots=True)
class Selection:
    """What chips have.

    Attributes:
        effects: Non-idealities that are modelled, in the order of
            ``cimc.targets.compatibility.SWITCHES``.
        absent: Non-idealities that were named but that the target does not describe.
        at_s: Time after programming [s].
        drawn: Those of ``effects`` that are drawn at random.
    """

    effects: tuple[str, ...]
    absent: tuple[str, ...]
    at_s: float
    drawn: frozenset[str]

    @property
    def random(self) -> bool:
        """Whether two chips, or two inferences of one, can differ."""
        return bool(self.drawn & frozenset(self.effects))

    @property
    def fluctuates(self) -> bool:
        """Whether two inferences of one chip can differ."""
        return bool(self.drawn & frozenset(self.effects) & FLUCTUATIONS)


def select(
    program: DeviceProgram,
    only: Names = None,
    without: Names = None,
    at: Time = None,
    mode: str = "chip",
) -> Selection:
    """Return which non-idealities chips of a program have.

    Args:
        program: Its target says which there are.
        only: Exact arithmetic plus these.
        without: Everything but these.
        at: Time after programming; None: the target's ``read.at``.
        mode: ``ideal`` and ``noise-free`` have no non-idealities to choose from.

    Raises:
        UsageError: CIMC-U06, two of both lists and another mode; CIMC-U08, not a time; CIMC-U47,
            an unknown name.
    """
    kept, dropped = names_of(only), names_of(without)
    require_one(
        {f"--{mode}": mode != "chip", "--only": kept is not None, "--without": dropped is not None}
    )
    at_s = seconds_of(at)
    target = Target.from_plain(dict(program.target), name="the program's target")
    described = switched_on(target)
    on = described if kept is None else described & set(kept)
    on -= set(dropped or ())
    if program.faults is not None:
        on -= {"stuck"}  # the map says which cells of this chip are
    at_s = target.read.at_s if at_s is None else at_s
    return Selection(
        effects=tuple(name for name in SWITCHES if name in on),
        absent=tuple(n for n in kept or dropped or () if n not in described),
        at_s=at_s,
        drawn=random(target, on, at_s),
    )


def require_one(given: Mapping[str, bool]) -> None:
    """Refuse options that exclude each other.

    Args:
        given: Whether each option is given.

    Raises:
        UsageError: CIMC-U06, more than one is.
    """
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise UsageError(
            "CIMC-U06", f"both {named[0]} and {named[1]} are given", hint="one of them, or none"
        )


def names_of(value: Names) -> tuple[str, ...] | None:
    """Return a list of non-idealities, each once; None stays None.

    Raises:
        UsageError: CIMC-U47, an unknown name.
    """
    if value is None:
        return None
    parts = [value] if isinstance(value, str) else list(value)
    names = [name.strip() for part in parts for name in str(part).split(",")]
    for name in names:
        if name not in SWITCHES:
            raise _unknown(name)
    return tuple(dict.fromkeys(names))


def _unknown(name: str) -> UsageError:
    near = difflib.get_close_matches(name.lower().replace("_", "-"), SWITCHES, n=1)
    hint = f"'{near[0]}'; all: " if near else "one of "
    return UsageError(
        "CIMC-U47", f"there is no non-ideality {name!r}", hint=hint + ", ".join(SWITCHES)
    )


def seconds_of(value: Time) -> float | None:
    """Return a time in seconds; None stays None.

    Raises:
        UsageError: CIMC-U08, it is not a time, is negative or beyond 1e11 s.
    """
    if value is None:
        return None
    try:
        found = parse(value, "s") if isinstance(value, str) else float(value)
    except (ValueError, TypeError) as error:
        raise _no_time(value, str(error)) from error
    if not 0.0 <= found <= _LONGEST_S:
        raise _no_time(value, f"should be 0 s to {_LONGEST_S:g} s")
    return found


def _no_time(value: object, why: str) -> UsageError:
    return UsageError(
        "CIMC-U08",
        f"{value!r} is not a time after programming: {why}",
        where="--at",
        hint="'30 s', '1h', '1d', '1 month' or '10 y'",
    )


def time_text(seconds: float) -> str:
    """Return a time as people write it: ``30 s``, ``1 h``, ``1 month``."""
    for unit in ("y", "month", "d", "h", "min"):
        count = seconds / LONG_TIMES[unit]
        if count >= 1 and count == round(count):
            return f"{count:g} {unit}"
    return f"{seconds:g} s"
