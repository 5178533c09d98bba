"""A folder of results, one JSON file a job; a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = dict[str, Any]


class Job(Protocol):
    """What a store keeps results of: a dataclass."""

    @property
    def key(self) -> str:
        """Hash of all that the result depends on."""


J = TypeVar("J", bound=Job)


def key_of(job: DataclassInstance, version: int) -> str:
    """Return the hash of all settings of a job and of the version of what runs it."""
    text = json.dumps([version, asdict(job)], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Store(Generic[J]):
    """Results in a folder, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, job: J) -> Row | None:
        """Return the result of a job; None: it has none, or it failed."""
        row = self._read(job)
        return None if row is None or "error" in row else row

    def failed(self, job: J) -> str | None:
        """Return why a job failed; None: it did not."""
        row = self._read(job)
        return None if row is None else row.get("error")

    def put(self, job: J, row: Row) -> None:
        """Keep a result, or ``{"error": ...}``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            plain = asdict(job)  # type: ignore[call-overload]
            json.dump({"job": plain, **row}, file, default=list)
        Path(name).replace(self._path(job))

    def _path(self, job: J) -> Path:
        return self._folder / f"{job.key}.json"

    def _read(self, job: J) -> Row | None:
        try:
            found: Row = json.loads(self._path(job).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found
