"""Run the fine-tunings of tables and write their pages.

``python -m tests.training_tables.run TABLE... [--workers 2] [--write]``; ``all`` is every table.
What is there is not run again, so a run that was killed goes on where it was.  ``--write`` makes
the pages of what is there and runs nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import NoReturn

from tests.training_tables.jobs import FOLDER, Job, Row, Store
from tests.training_tables.tables import TABLES

#: A job that takes longer has failed [s].
LIMIT = 600
#: A run ends after its present jobs where there is such a file.
STOP = FOLDER / "stop"


def _prepare() -> None:
    """Make a worker polite: one thread, low priority; torch is imported once."""
    os.nice(5)
    import torch

    from tests.training_tables import work  # noqa: F401

    torch.set_num_threads(1)


def _late(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"more than {LIMIT} s")


def _work(job: Job) -> Row:
    """Run one job; a failure is a result."""
    store = Store()
    if (known := store.get(job)) is not None:
        return known  # another run of this command did it meanwhile
    from tests.training_tables.work import run

    signal.signal(signal.SIGALRM, _late)
    signal.alarm(LIMIT)
    try:
        row = run(job)
    except Exception as e:
        row = {"error": f"{type(e).__name__}: {e}", "trace": traceback.format_exc()}
    finally:
        signal.alarm(0)
    store.put(job, row)
    return row


def ordered(tables: Sequence[str], seeds: Sequence[int] | None) -> list[Job]:
    """Return the jobs of tables, each once: first seed first, tables in the order given.

    Extra tables come after all seeds of the others.
    """
    unique: dict[str, Job] = {}
    listed = [
        (job.seed + (100 if TABLES[t].extra else 0), k, n, job)
        for k, t in enumerate(tables)
        for n, job in enumerate(TABLES[t].jobs())
    ]
    for _, _, _, job in sorted(listed, key=lambda entry: entry[:3]):
        if seeds is None or job.seed in seeds:
            unique.setdefault(job.key, job)
    return list(unique.values())


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def missing(jobs: Sequence[Job], *, again: bool) -> list[Job]:
    """Return the jobs without a result; ``again``: failed ones too."""
    store = Store()
    return [job for job in jobs if store.get(job) is None and (again or store.failed(job) is None)]


def run(jobs: Sequence[Job], workers: int) -> int:
    """Run jobs in order; return how many failed."""
    began, failures, left = time.perf_counter(), 0, list(jobs)
    context = multiprocessing.get_context("spawn")
    done = 0
    while left:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)
        running: dict[Future[Row], Job] = {}
        try:
            while left or running:
                if STOP.exists():
                    say("stopped by the file 'stop'; the jobs that run are waited for")
                    left.clear()
                while left and len(running) < workers:
                    job = left.pop(0)
                    running[pool.submit(_work, job)] = job
                finished, _ = wait(running, return_when="FIRST_COMPLETED")
                for future in finished:
                    job = running[future]
                    row = future.result()
                    del running[future]
                    done += 1
                    failures += "error" in row
                    rest = (time.perf_counter() - began) / done * (len(left) + len(running))
                    say(f"{done}/{len(jobs)} ETA {rest / 60:.0f} min  {job}: {_told(row)}")
        except BrokenProcessPool:
            say("a worker died (killed, or out of memory); going on without its jobs")
            for job in running.values():
                Store().put(job, {"error": "the worker died"})
            failures, done = failures + len(running), done + len(running)
        finally:
            pool.shutdown(cancel_futures=True)
    return failures


def _told(row: Row) -> str:
    if "error" in row:
        return f"FAILED {row['error'][:300]}"
    means = ", ".join(f"{name} {mean:.2f}" for name, mean in row["means"].items())
    seconds = row["seconds"]
    return f"{means}; {seconds['train']:.1f} + {seconds['evaluate']:.1f} s"


def main() -> int:
    """Run or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.training_tables.run")
    parser.add_argument("tables", nargs="+", choices=["all", *TABLES])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", help="only these")
    parser.add_argument("--networks", nargs="+", help="only these")
    parser.add_argument("--again", action="store_true", help="run failed jobs again")
    parser.add_argument("--list", action="store_true", help="say what is missing")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    tables = list(TABLES) if "all" in given.tables else given.tables
    if given.write:
        for write in dict.fromkeys(TABLES[name].write for name in tables):
            write(Store())
        return 0
    jobs = ordered(tables, given.seeds)
    if given.networks:
        jobs = [job for job in jobs if job.network in given.networks]
    todo = missing(jobs, again=given.again)
    say(f"{len(todo)} of {len(jobs)} jobs to run")
    if given.list:
        for job in todo:
            say(str(job))
        return 0
    return min(1, run(todo, given.workers))


if __name__ == "__main__":
    raise SystemExit(main())
