"""Recompile a program for every chip of a directory of fault maps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cimc.errors import UsageError
from cimc.fleets.claim import claim
from cimc.fleets.cluster import Cluster
from cimc.fleets.directory import Directory
from cimc.fleets.engine import Engine, recompiler
from cimc.fleets.here import Here
from cimc.fleets.maps import find_maps
from cimc.fleets.picture import write_picture
from cimc.fleets.pool import LocalPool
from cimc.fleets.report import FleetReport, make_report
from cimc.fleets.run import Run, Told, silent
from cimc.fleets.settings import FleetSettings, within
from cimc.fleets.store import Store
from cimc.fleets.work import Job
from cimc.program.model import DeviceProgram


def fleet(
    program: DeviceProgram | str | Path,
    *,
    fault_maps: str | Path,
    output: str | Path,
    workers: int | None = None,
    scheduler: str | None = None,
    restart: bool = False,
    min_yield: float = 1.0,
    told: Told = silent,
    engine: Engine = recompiler,
    **settings: Any,
) -> FleetReport:
    """Recompile a program for every chip that there is a fault map of.

    A second call goes on where the first was interrupted, killed included: a chip is done when
    its program is in place and its row in ``OUTPUT/fleet.sqlite`` is committed; failed ones are
    tried again, chips whose map has changed are made anew.  However often it is interrupted, the
    programs are those of an uninterrupted run, byte for byte.

    Args:
        program: The program, or its path.
        fault_maps: Directory of fault maps, ``.safetensors`` or ``.csv``.
        output: Directory of the programs, ``CHIP.cim``, and of the results.
        workers: Processes on this machine; 0: none but this one; None: one a core [-].
        scheduler: Address of a Dask scheduler whose workers are used instead.
        restart: Forget what was done here.
        min_yield: Share of chips that must pass, in [0, 1].
        told: Called after every chip.
        engine: What makes programs; :func:`cimc.recompile` by default.
        **settings: As :class:`cimc.fleets.settings.FleetSettings` has them: ``method``,
            ``verify_data``, ``mode``, ``min_accuracy``, ...

    Raises:
        UsageError: CIMC-U02 a value out of range, CIMC-U04 a gate without data, CIMC-U06
            ``workers`` beside ``scheduler``, CIMC-U07 a file or directory cannot be read or
            written, CIMC-U76 the fault maps are not those of a fleet, CIMC-U77 the output is of
            another program or other settings, CIMC-U78 another fleet works there, CIMC-U79 the
            scheduler cannot be used.
        ProgramError: The program is broken, or cannot be recompiled.
        ModelError: The samples do not fit the program.
        KeyboardInterrupt: Interrupted; everything finished is kept.
    """
    chosen = _checked(settings, workers, scheduler, min_yield)
    found = find_maps(fault_maps)
    started = time.perf_counter()
    directory = Directory(output)
    with directory.held():
        job = claim(program, chosen, directory, engine, restart=restart)
        with Store(directory.results, create=True) as results:
            results.set_facts({"min_accuracy": chosen.min_accuracy, "min_yield": min_yield})
            run = Run(directory, results, job, found, told)
            run.begin()
            with _pool(job, workers, scheduler, directory) as pool:
                run.work(pool)
    seconds = time.perf_counter() - started
    return replace(report_of(directory.path), seconds=seconds, before=run.before)


def report_of(
    output: str | Path, *, min_accuracy: float | None = None, min_yield: float | None = None
) -> FleetReport:
    """Return what a fleet has come to, and draw its picture; nothing is worked on.

    Args:
        output: The directory of the results.
        min_accuracy: What a chip must reach to pass, in [0, 1]; None: as when it was made.
        min_yield: Share of chips that must pass, in [0, 1]; None: as when it was made.

    Raises:
        UsageError: CIMC-U02 a value out of range, CIMC-U77 there are no results.
    """
    for name, value in (("min_accuracy", min_accuracy), ("min_yield", min_yield)):
        if value is not None:
            within(name, value, 0.0 <= value <= 1.0, "0 to 1 (a share, not percent)")
    directory = Directory(output)
    with Store(directory.results) as results:
        facts, records = results.facts(), results.records()
    report = make_report(directory.path, facts, records, min_accuracy, min_yield)
    write_picture(report, records, directory.picture)
    return report


def _checked(
    settings: dict[str, Any], workers: int | None, scheduler: str | None, min_yield: float
) -> FleetSettings:
    for name in ("data", "train_data", "recipe", "verify_data", "reference"):
        if settings.get(name) is not None:
            settings[name] = os.path.abspath(settings[name])
    chosen = FleetSettings(**settings)
    chosen.check()
    if workers is not None and scheduler is not None:
        raise UsageError(
            "CIMC-U06", "both --workers and --scheduler are given", hint="one of them, or none"
        )
    within("workers", workers, workers is None or workers >= 0, "0 or more")
    within("min_yield", min_yield, 0.0 <= min_yield <= 1.0, "0 to 1 (a share, not percent)")
    return chosen


@contextmanager
def _pool(
    job: Job, workers: int | None, scheduler: str | None, directory: Directory
) -> Iterator[LocalPool | Cluster | Here]:
    """Yield what has workers, and let go of them in the end."""
    if scheduler is not None:
        pool: LocalPool | Cluster | Here = Cluster(job, scheduler, directory.log)
    elif workers == 0:
        pool = Here(job)
    else:
        pool = LocalPool(job, workers or cores(), directory.log)
    try:
        yield pool
    finally:
        pool.close()


def cores() -> int:
    """Return how many processor cores this process may use [-]."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
