"""Chips handed to workers, and what comes back kept, one after the other."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from cimc.errors import CimcError, ProgramError
from cimc.fleets.directory import Directory
from cimc.fleets.maps import Found
from cimc.fleets.records import Record
from cimc.fleets.standing import Standing
from cimc.fleets.store import Store
from cimc.fleets.work import Job, Task, failed

#: Called before the first chip (with None) and after every one.
Told = Callable[[Record | None, Standing], None]


def silent(record: Record | None, standing: Standing) -> None:
    """Say nothing."""


class Pool(Protocol):
    """What has workers."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Record]:
        """Yield a record for every task, as they come."""


class Run:
    """One call of ``cimc fleet``: the only writer of results.

    A chip's program gets its name first, then its row is committed.  Killed between the two, the
    program is there without a row, and the next run makes it again: the same bytes.
    """

    def __init__(
        self,
        directory: Directory,
        results: Store,
        job: Job,
        found: Sequence[Found],
        told: Told = silent,
    ) -> None:
        """Prepare.

        Args:
            directory: Held.
            results: Open.
            job: What all chips have in common.
            found: Fault maps.
            told: Called after every chip.
        """
        self._directory, self._results, self._job = directory, results, job
        self._found, self._told = found, told
        self._pending: list[Found] = []
        self._standing = Standing(total=len(found))

    def begin(self) -> None:
        """Find out what there is to do; forget what is to be done again."""
        rows = {record.chip: record for record in self._results.records()}
        here = {found.chip for found in self._found}
        stale = [r for r in rows.values() if not r.done and r.chip not in here]
        for found in self._found:
            record = rows.get(found.chip)
            if record is not None and self._holds(record, found):
                self._standing.add(record, before=True)
                continue
            self._pending.append(found)
            if record is not None:
                stale.append(record)
        # Rows first: a program without a row is nothing, a row without a program would be a lie.
        self._results.forget(record.chip for record in stale)
        names = {r.program for r in stale if r.program} | {f.program for f in self._pending}
        for name in sorted(names):
            with contextlib.suppress(ProgramError):  # not a program: the chip will say so
                self._directory.remove(name)

    @property
    def before(self) -> int:
        """Chips that were done before [-]."""
        return self._standing.before

    def _holds(self, record: Record, found: Found) -> bool:
        """Whether a chip is done: its program is in place and its map the same as then."""
        if not record.done:
            return False
        if (record.fault_map_bytes, record.fault_map_mtime_ns) != (found.size, found.mtime_ns):
            with contextlib.suppress(OSError), found.path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != record.fault_map_sha256:
                    return False
        if record.program is None:  # made, and not kept
            return True
        return self._directory.digest(record.program) == record.program_sha256

    def work(self, pool: Pool) -> None:
        """Work on all chips that are left.

        Raises:
            CimcError: The fleet cannot be worked on at all.
            KeyboardInterrupt: Interrupted; everything finished is kept.
        """
        started = time.monotonic()
        self._told(None, self._standing)
        if not self._pending:
            return
        tasks = [self._task(found) for found in self._pending]
        with closing(pool.run(tasks)) as records:  # type: ignore[type-var]
            for record in records:
                kept = self._keep(record)
                self._standing.add(kept)
                self._standing.seconds = time.monotonic() - started
                self._told(kept, self._standing)

    def _task(self, found: Found) -> Task:
        record = Record(
            found.chip,
            found.path.name,
            "failed",
            fault_map_bytes=found.size,
            fault_map_mtime_ns=found.mtime_ns,
        )
        path = Path(found.path.absolute())
        return Task(record, path, found.readable, self._directory.staging / found.program)

    def _keep(self, record: Record) -> Record:
        """Give a program its name, commit its row; return what was found in the end."""
        settings = self._job.settings
        keep: dict[str, Any] = {"all": True, "none": False}
        wanted = keep.get(settings.keep_programs, record.passes(settings.min_accuracy))
        try:
            if record.done and record.program is not None:
                if wanted:
                    self._directory.place(record.program)
                else:
                    self._directory.discard(record.program)
                    record = replace(record, program=None)
        except (CimcError, OSError) as error:
            record = failed(record, error)
        self._results.add(record)
        return record
