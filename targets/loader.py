"""Find a target description and load it."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from cimc.errors import TargetError
from cimc.targets import problems, yaml_reader
from cimc.targets.schema import Target, check

_SHIPPED: Final = Path(__file__).resolve().parent


def list_targets() -> list[str]:
    """Return the names of the shipped targets, sorted."""
    return sorted(p.stem for p in _SHIPPED.glob("*.yaml"))


def find_target(name: str | Path) -> Path:
    """Return the file of a target: a path first, else a shipped name with or without ``.yaml``.

    Raises:
        TargetError: CIMC-T01, neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = list_targets()
    stem = str(name).removesuffix(".yaml")
    if stem in known:
        return _SHIPPED / f"{stem}.yaml"
    close = difflib.get_close_matches(stem, known, n=1)
    hint = f"'{close[0]}', " if close else ""
    message = f"no target file and no shipped target '{problems.shortened(str(name))}'"
    raise TargetError("CIMC-T01", message, hint=f"{hint}one of: {', '.join(known)}; or a path")


def load_target(name: str | Path) -> Target:
    """Load a target by path, or by the name of a shipped one.

    Raises:
        TargetError: CIMC-T01 not found or unreadable, T02 not acceptable YAML, T03 a wrong
            setting, T04 settings that contradict, T05 a setting not supported yet; with every
            problem found, each as ``file:line:column: path: message (got value)``.
    """
    path = find_target(name)
    try:
        with path.open("rb") as file:
            data = file.read(yaml_reader.SIZE_LIMIT + 1)
    except OSError as e:
        raise TargetError(
            "CIMC-T01", f"cannot read the target: {e.strerror}", where=str(path)
        ) from e
    plain, marks, found = yaml_reader.read(data)
    if not found or plain is not None:
        target, wrong = check(plain)
        seen = {p.path for p in found}
        found = found + [p for p in wrong if p.path not in seen]
        if target is not None and not found:
            return target
    raise problems.error(str(name if path == Path(name) else path.name), found, marks)
