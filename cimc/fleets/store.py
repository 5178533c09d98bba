"""The results of a fleet in one SQLite file, written by one process, a row at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cimc.errors import UsageError
from cimc.fleets.records import COLUMNS, Record

NAME: Final = "fleet.sqlite"
#: Version of the tables, kept as SQLite's ``user_version``.
VERSION: Final = 1
#: Marks the file as one of these (SQLite's ``application_id``): "cimf".
_APPLICATION: Final = 0x63696D66
#: How long a reader who has the file open may hold up a commit [s].
_PATIENCE_S: Final = 60.0


class Store:
    """An open file of results.

    A rollback journal, not a write-ahead log: there is one writer, the file works on network file
    systems, and it is complete by itself whenever nobody writes.  A commit is on disk before the
    next chip is counted; a process killed at any point leaves whole rows.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file.

        Args:
            path: The file.
            create: Make it when it is not there; otherwise it is only read.

        Raises:
            UsageError: CIMC-U77, it is not one of these, or of another version.
        """
        self.path = path
        if not create and not path.is_file():
            raise _refused(path, "there are no results of a fleet", "the -o of 'cimc fleet'")
        place = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'ro'}"
        try:
            self._base = sqlite3.connect(
                place, uri=True, timeout=_PATIENCE_S, isolation_level=None
            )
        except sqlite3.DatabaseError as error:
            raise _refused(path, f"cannot be opened: {error}", "another -o") from error
        try:
            self._prepare(create)
        except BaseException as error:
            self._base.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise _refused(path, f"not results of a fleet: {error}", "another -o") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    def _prepare(self, create: bool) -> None:
        version = self._pragma("user_version")
        if create and version == 0 and not self._tables():
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                self._base.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")
                self._base.execute(f"CREATE TABLE chips ({columns}, PRIMARY KEY (chip))")
                self._base.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._base.execute(f"PRAGMA user_version = {VERSION}")
            return
        if self._pragma("application_id") != _APPLICATION or version != VERSION:
            raise _refused(
                self.path,
                f"not results of a fleet of version {VERSION}",
                "another -o, or --restart to start anew",
            )

    def _pragma(self, name: str) -> int:
        value = self._base.execute(f"PRAGMA {name}").fetchone()[0]
        return int(value)

    def _tables(self) -> bool:
        return bool(self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def facts(self) -> dict[str, Any]:
        """Return what is known of the whole fleet."""
        rows = self._base.execute("SELECT name, value FROM facts")
        return {name: json.loads(value) for name, value in rows}

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Note something of the whole fleet; plain data by name."""
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in facts.items()],
            )

    def records(self) -> list[Record]:
        """Return all chips, sorted by id."""
        rows = self._base.execute(f"SELECT {', '.join(COLUMNS)} FROM chips ORDER BY chip")
        return [Record(*row) for row in rows]

    def add(self, record: Record) -> None:
        """Keep what was found of a chip; a row of the same chip is replaced."""
        values = [getattr(record, name) for name in COLUMNS]
        marks = ", ".join("?" * len(values))
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.execute(f"INSERT OR REPLACE INTO chips VALUES ({marks})", values)

    def forget(self, chips: Iterable[str]) -> None:
        """Remove chips that are to be worked on again."""
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("DELETE FROM chips WHERE chip = ?", [(c,) for c in chips])


def remove(path: Path) -> None:
    """Remove a file of results, of any version; nothing else.

    Raises:
        UsageError: CIMC-U77, it is something else.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            kind = base.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.DatabaseError:
        kind = 0
    if kind != _APPLICATION:
        raise _refused(path, "not results of a fleet: it is not replaced", "another -o")
    path.unlink()
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _refused(path: Path, message: str, hint: str) -> UsageError:
    return UsageError("CIMC-U77", message, where=str(path), hint=hint)
