"""Run jobs in a few polite processes, in order, and keep what each finds."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tests.job_store.store import J, Row, Store


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with a job, in a process that has not imported it yet.

    Attributes:
        module: Has a function ``run(job) -> Row``.
        folder: Where results are kept; a run ends after its present jobs where there is a file
            ``stop`` in it.
        limit_s: A job that takes longer has failed [s].
        since: Results that ended before this time (ISO) are found again; '': none are.
        nice: How much other processes come first [-].
    """

    module: str
    folder: Path
    limit_s: int = 600
    since: str = ""
    nice: int = 5

    def __call__(self, job: Any) -> Row:
        """Run one job unless it is there; a failure is a result."""
        store: Store[Any] = Store(self.folder)
        known = store.get(job)
        if known is not None and known.get("ended", self.since) >= self.since:
            return known  # another run of this command did it meanwhile
        run: Callable[[Any], Row] = importlib.import_module(self.module).run
        signal.signal(signal.SIGALRM, self._late)
        signal.alarm(self.limit_s)
        try:
            row = run(job)
        except Exception as e:
            row = {"error": f"{type(e).__name__}: {e}", "trace": traceback.format_exc()}
        finally:
            signal.alarm(0)
        store.put(job, row)
        return row

    def _late(self, number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"more than {self.limit_s} s")


def prepare(work: Work) -> None:
    """Make a worker polite: one thread, low priority; torch is imported once."""
    os.nice(work.nice)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import torch

    importlib.import_module(work.module)
    torch.set_num_threads(1)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody would give it work."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def run(jobs: Sequence[J], work: Work, workers: int, told: Callable[[Row], str]) -> int:
    """Run jobs in order; return how many failed.

    Args:
        jobs: What to run.
        work: What is done with each.
        workers: Processes.
        told: Says in short what was found.
    """
    began, failures, left = time.perf_counter(), 0, list(jobs)
    context = multiprocessing.get_context("spawn")
    done = 0
    while left:
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=prepare, initargs=(work,)
        )
        running: dict[Future[Row], J] = {}
        try:
            while left or running:
                if (work.folder / "stop").exists():
                    say("stopped by the file 'stop'; the jobs that run are waited for")
                    left.clear()
                while left and len(running) < workers:
                    job = left.pop(0)
                    running[pool.submit(work, job)] = job
                finished, _ = wait(running, return_when="FIRST_COMPLETED")
                for future in finished:
                    job = running[future]
                    row = future.result()
                    del running[future]
                    done += 1
                    failures += "error" in row
                    rest = (time.perf_counter() - began) / done * (len(left) + len(running))
                    said = f"FAILED {row['error'][:300]}" if "error" in row else told(row)
                    say(f"{done}/{len(jobs)} ETA {rest / 60:.0f} min  {job}: {said}")
        except BrokenProcessPool:
            say("a worker died (killed, or out of memory); going on without its jobs")
            for job in running.values():
                Store[J](work.folder).put(job, {"error": "the worker died"})
            failures, done = failures + len(running), done + len(running)
        finally:
            pool.shutdown(cancel_futures=True)
    return failures
