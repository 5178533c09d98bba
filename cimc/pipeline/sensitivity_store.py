"""Finished points of a study in a file, so that a long one can be interrupted and resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram

#: Version of the file.
VERSION = 1
#: Largest file that is read [byte].
_SIZE_LIMIT = 64 << 20


class Store:
    """The file beside the picture: settings, and a record for each finished point.

    Attributes:
        path: The file.
        records: Finished points by key.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Open the file.

        Args:
            path: Where; None: nothing is kept.
            settings: What makes points comparable; plain data.
            resume: Take the points that are there.

        Raises:
            UsageError: CIMC-U10, they are of another study or the file is not one of these.
        """
        self.path, self._settings = path, dict(settings)
        self.records: dict[str, dict[str, Any]] = {}
        if resume and path is not None and path.exists():
            self.records = _checked(path, self._settings)

    def add(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a finished point; the file is replaced at once."""
        self.records[key] = dict(record)
        self.write({})

    def write(self, extra: Mapping[str, Any]) -> None:
        """Replace the file: settings, points, and what else there is to say."""
        if self.path is None:
            return
        content = {
            "version": VERSION,
            "settings": self._settings,
            "points": self.records,
            **extra,
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        replace_file(self.path, text.encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically: a temporary sibling is renamed over it."""
    temporary = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _checked(path: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the points of a file after making sure that they belong to this study."""
    had, points = _parsed(path)
    for name, wanted in settings.items():
        if had.get(name) != wanted:
            raise _refused(
                f"the finished points are of another study: {name.replace('_', ' ')} "
                f"{str(had.get(name))[:80]}, asked for {str(wanted)[:80]}",
                path,
            )
    return points


def _parsed(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the settings and the points of a file."""
    try:
        content = json.loads(path.read_bytes()) if path.stat().st_size <= _SIZE_LIMIT else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and content.get("version") == VERSION:
        had, points = content.get("settings"), content.get("points")
        if isinstance(had, dict) and isinstance(points, dict) and _mappings(points):
            return had, points
    raise _refused("the file holds no finished points", path)


def _mappings(points: dict[str, Any]) -> bool:
    return all(isinstance(point, dict) for point in points.values())


def _refused(message: str, path: Path) -> UsageError:
    return UsageError(
        "CIMC-U10",
        message,
        where=str(path),
        hint="the same settings, another -o, or leaving --resume out to start anew",
    )


def digest_of_program(program: DeviceProgram) -> str:
    """Return a digest of what a program computes, written or not."""
    if program.sha256:
        return program.sha256
    digest = hashlib.sha256(json.dumps(program.target, sort_keys=True, default=str).encode())
    for operation in program.operations:
        digest.update(repr(operation).encode())
    for name, constant in sorted(program.constants.items()):
        digest.update(name.encode() + constant.contiguous().flatten().view(-1).numpy().tobytes())
    for name, layer in sorted(program.layers.items()):
        digest.update(name.encode() + layer.tiles.tobytes() + layer.cells.gain.numpy().tobytes())
        for plane in layer.cells.planes:
            digest.update(plane.contiguous().numpy().tobytes())
    return digest.hexdigest()


def digest_of_file(path: str | Path) -> str:
    """Return the digest of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
