"""What is wrong with a target description, and where in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cimc.errors import TargetError

#: Keys and indices from the top of a description to a value.
Path = tuple[str | int, ...]

#: Longest rendering of an offending value in a message.
_VALUE_LIMIT: Final = 60


class Missing:
    """The value of a problem that has none (a missing key)."""


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a description.

    Attributes:
        code: Error code, ``CIMC-T03``.
        path: Where in the description.
        message: What is wrong, without the value.
        value: The offending value; :data:`MISSING` when there is none.
        at_key: The key is at fault, not its value.
    """

    code: str
    path: Path
    message: str
    value: object = MISSING
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """Line and column of everything in a YAML file, both counted from 1.

    Attributes:
        values: Position of each value.
        keys: Position of each mapping key, by the path of its value.
    """

    values: Mapping[Path, tuple[int, int]]
    keys: Mapping[Path, tuple[int, int]]

    def find(self, problem: Problem) -> tuple[int, int]:
        """Return the position of a problem, or of the nearest thing around it."""
        if problem.at_key and problem.path in self.keys:
            return self.keys[problem.path]
        for end in range(len(problem.path), -1, -1):
            if problem.path[:end] in self.values:
                return self.values[problem.path[:end]]
        return (1, 1)


def dotted(path: Path) -> str:
    """Return a path as text, ``cell.states[2]``."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".")


def shortened(value: object) -> str:
    """Return a value as it is to appear in a message: one line, bounded."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join("".join(c if c.isprintable() else "?" for c in text).split())
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 3] + "..."


def error(name: str, problems: Sequence[Problem], marks: Marks | None = None) -> TargetError:
    """Return the error that reports all problems of a description, in the order of the file.

    Args:
        name: File, or another name of the description.
        problems: At least one.
        marks: Positions, when the description came from a file.
    """
    lines = []
    for problem in problems:
        line, column = (0, 0) if marks is None else marks.find(problem)
        position = f"{name}:" if marks is None else f"{name}:{line}:{column}:"
        path = f" {dotted(problem.path)}:" if problem.path else ""
        missing = isinstance(problem.value, Missing)
        got = "" if missing else f" (got {shortened(problem.value)})"
        lines.append((line, column, f"{position}{path} {problem.message}{got}"))
    if marks is not None:
        lines.sort(key=lambda item: item[:2])
    code = min(problem.code for problem in problems)
    text = [line for _, _, line in lines]
    head = text if len(text) == 1 else [f"{len(text)} errors in the target description", *text]
    return TargetError(code, "\n".join(head), hint="'cimc target schema', or docs/targets.md")
