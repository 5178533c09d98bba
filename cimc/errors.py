"""Every error a user of cimc can meet.

CimcError                 base: has code, message, where, hint
+ UsageError      exit 2   the call is wrong: options that contradict, a value out of range
+ ModelError      exit 3   the network, or the data with it, is not one cimc accepts
+ TargetError     exit 4   the target description is wrong
+ FaultMapError   exit 4   the fault map is wrong, or belongs to another chip or target
+ ProgramError    exit 4   the device program is broken, hostile or of another version
+ FitError        exit 5   the network does not fit the target
+ InternalError   exit 70  a pass broke an invariant: a bug in cimc, not in the input

Codes are ``CIMC-<letter><two digits>``: U usage, M model, T target, F fault map, P program,
S size (does not fit), I internal.  Each has one page, ``docs/errors/<code>.md``.
"""

from __future__ import annotations

from typing import ClassVar


class CimcError(Exception):
    """An error to show to the user without a traceback.

    Attributes:
        code: Stable identifier, one page each in docs/errors (``CIMC-T01``).
        message: What is wrong, with the offending value.
        where: What it is about: a node, a tile, a line of a file; may be empty.
        hint: What the user can do next; may be empty.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.where, self.hint = code, message, where, hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.hint:
            lines.append(f"  try {self.hint}")
        return "\n".join(lines)


class UsageError(CimcError):
    """The call itself is wrong: options that contradict each other or are out of range."""

    exit_code = 2


class ModelError(CimcError):
    """The input network, or the data given with it, is not one cimc can compile correctly."""

    exit_code = 3


class TargetError(CimcError):
    """The target description is wrong."""

    exit_code = 4


class FaultMapError(CimcError):
    """The fault map is wrong, or belongs to another chip or target."""

    exit_code = 4


class ProgramError(CimcError):
    """The device program is broken, hostile, or of another version."""

    exit_code = 4


class FitError(CimcError):
    """The network does not fit the target."""

    exit_code = 5


class InternalError(CimcError):
    """A pass left the network invalid, or the result is wrong: a bug in cimc."""

    exit_code = 70
