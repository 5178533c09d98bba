"""One chip, from its fault map to its program and its accuracy: what a worker does."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cimc.errors import CimcError, InternalError, UsageError
from cimc.faults import FaultMap, load_fault_map
from cimc.faults.extent import extent_of, target_of
from cimc.fleets.engine import Engine, ForChip
from cimc.fleets.memory import forget_peak, peak_rss_mib, pss_mib
from cimc.fleets.records import Record
from cimc.fleets.samples import Measure, figures
from cimc.fleets.settings import FleetSettings
from cimc.program import read
from cimc.version import __version__

#: Columns of a record that are keys of the report of recompiling.
_REPORTED = (
    "cells", "faulty_cells", "affected_weights", "remapped_weights", "unreachable_weights",
    "output_error_before", "output_error_after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """What all chips of a fleet have in common; all paths are absolute.

    Attributes:
        program: The program without faults.
        sha256: Its digest: a worker that reads another refuses.
        settings: What is done with every chip.
        settings_sha256: Their digest.
        samples: Folder of :mod:`cimc.fleets.samples`; None: accuracy is not measured.
        engine: What makes programs.
        cimc_version: Of who handed it out.
    """

    program: Path
    sha256: str
    settings: FleetSettings
    settings_sha256: str
    samples: Path | None
    engine: Engine
    cimc_version: str = __version__


@dataclass(frozen=True, slots=True)
class Task:
    """One chip to work on.

    Attributes:
        record: What is known of it before.
        fault_map: Its map, an absolute path.
        readable: Whether the map said which chip it is of.
        output: Where to write the program.
    """

    record: Record
    fault_map: Path
    readable: bool
    output: Path


class Worker:
    """The state of a worker between chips: the program, mapped once, and the samples."""

    def __init__(self, job: Job) -> None:
        """Read the program.

        Raises:
            CimcError: It, or what is measured with, cannot be read here.
        """
        torch.set_num_threads(job.settings.threads)
        self.job = job
        self._program = read(job.program)
        if self._program.sha256 != job.sha256:
            raise UsageError(
                "CIMC-U77",
                f"the program is {self._program.sha256[:16]}..., the fleet's is "
                f"{job.sha256[:16]}...: it has changed",
                where=str(job.program),
                hint="leaving the program as it is until the fleet is done",
            )
        self._for_chip: ForChip = job.engine(self._program, job.settings)
        self._measure = (
            None
            if job.samples is None
            else Measure.opened(job.samples, self._program, job.settings)
        )

    def work(self, task: Task) -> Record:
        """Work on one chip; whatever goes wrong is said in its record."""
        started = time.perf_counter()
        forget_peak()
        record = replace(
            task.record,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            cimc_version=__version__,
            settings_sha256=self.job.settings_sha256,
        )
        try:
            record = self._made(task, record)
        except Exception as error:  # one failing chip never stops the rest
            record = failed(record, error)
        return replace(
            record,
            seconds=time.perf_counter() - started,
            peak_rss_mib=peak_rss_mib(),
            pss_mib=pss_mib(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _made(self, task: Task, record: Record) -> Record:
        """Make the program and measure it."""
        chip = task.record.chip if task.readable else None
        faults = load_fault_map(task.fault_map, chip=chip)
        record = replace(
            record, fault_map_sha256=faults.sha256, fault_rate=self._fault_rate(faults)
        )
        program, report = self._for_chip(faults, task.output)
        reported: dict[str, Any] = {name: report.get(name) for name in _REPORTED}
        record = replace(
            record,
            status="done",
            program=task.output.name,
            program_sha256=report["sha256"],
            **reported,
        )
        if self._measure is None:
            return record
        started = time.perf_counter()
        metric = self._measure.metric
        measured: Mapping[str, Any] = figures(self._measure.scores(program), metric)
        seconds = time.perf_counter() - started
        return replace(record, metric=metric, verify_seconds=seconds, **measured)

    def _fault_rate(self, faults: FaultMap) -> float:
        """Return the share of faulty cells in the arrays a map describes."""
        size = target_of(self._program).array
        rows, columns = faults.array_rows or size.rows, faults.array_columns or size.columns
        if rows is None or columns is None:  # arrays of any size: as large as the program needs
            cells = extent_of(self._program).cells
        else:
            cells = len(faults.arrays) * rows * columns
        return min(1.0, len(faults.cells) / cells) if cells else 0.0


def failed(record: Record, error: BaseException) -> Record:
    """Return the record of a chip that could not be compiled."""
    shown = understood(error)
    message = shown.message + (f" (at {shown.where})" if shown.where else "")
    return replace(
        record,
        status="failed",
        program=None,
        program_sha256=None,
        error_code=shown.code,
        error_message=message,
    )


def understood(error: BaseException) -> CimcError:
    """Return the error to show for an exception."""
    if isinstance(error, CimcError):
        return error
    if isinstance(error, MemoryError):
        return InternalError("CIMC-I18", "out of memory")
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return InternalError("CIMC-I19", f"internal error: {text[:500]}")


_LOCK = threading.Lock()
_WORKERS: dict[str, Worker] = {}


def work(job: Job, task: Task) -> Record:
    """Work on one chip in a process that other people started; its state is kept there.

    One chip at a time: threads of a process share torch's settings.

    Raises:
        CimcError: The program cannot be read here.
    """
    key = f"{job.program} {job.sha256} {job.settings_sha256} {job.samples}"
    with _LOCK:
        worker = _WORKERS.get(key)
        if worker is None:
            _WORKERS.clear()  # programs of fleets that are done
            worker = _WORKERS[key] = Worker(job)
        return worker.work(task)
