"""Worker processes on this machine.

Every worker is served by a thread here: it hands out a chip, waits for the record, and knows
which chip it was when the worker dies.  A dead worker is replaced; its chip is tried once more by
another, at the end, and fails only when that one dies too.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cimc.errors import InternalError
from cimc.fleets.records import Record
from cimc.fleets.work import Job, Task, failed
from cimc.fleets.worker_main import receive, send

#: Workers a chip may take with it before it counts as failed [-].
_ATTEMPTS: Final = 2
#: Workers in a row that die before they have read the program [-].
_STARTS: Final = 3
#: How often the main thread looks for an interrupt [s].
_LOOK_S: Final = 0.5
_START: Final = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from cimc.fleets.worker_main import main; main()"
)


class LocalPool:
    """A number of worker processes."""

    def __init__(self, job: Job, workers: int, log: Path) -> None:
        """Prepare; workers are started by :meth:`run`.

        Args:
            job: What all chips have in common.
            workers: Number of processes [-].
            log: File that takes what workers print.
        """
        self._job, self._workers, self._log = job, workers, log
        self._todo: deque[Task] = deque()
        self._left = 0
        self._changed = threading.Condition()
        self._closed = False
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._records: queue.SimpleQueue[Record | BaseException] = queue.SimpleQueue()

    def run(self, tasks: Sequence[Task]) -> Iterator[Record]:
        """Yield a record for every task, as they come.

        Raises:
            CimcError: No worker can work on anything.
        """
        self._todo.extend(tasks)
        self._left = len(tasks)
        threads = [
            threading.Thread(target=self._serve, daemon=True)
            for _ in range(min(self._workers, len(tasks)))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(len(tasks)):
                yield self._next()
        finally:
            self.close()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """End all workers; what they were writing is left unfinished."""
        with self._changed:
            self._closed = True
            self._todo.clear()
            self._changed.notify_all()
            for process in self._processes:
                process.kill()

    def _next(self) -> Record:
        while True:
            with contextlib.suppress(queue.Empty):
                found = self._records.get(timeout=_LOOK_S)
                if isinstance(found, BaseException):
                    raise found
                return found

    def _serve(self) -> None:
        """Keep one worker busy until there is nothing left."""
        worker: subprocess.Popen[bytes] | None = None
        try:
            while (task := self._take()) is not None:
                if worker is None:
                    worker = self._started()
                try:
                    send(_pipe(worker.stdin), task)
                    record: Record = receive(_pipe(worker.stdout))
                except (EOFError, OSError):
                    self._lost(task, self._ended(worker))
                    worker = None
                else:
                    self._done(replace(record, attempts=task.record.attempts))
        except BaseException as error:  # the main thread raises it
            self._records.put(error)
        finally:
            if worker is not None:
                worker.kill()
                self._ended(worker)

    def _take(self) -> Task | None:
        """Wait for a task; None when there will be none."""
        with self._changed:
            while not self._todo and self._left and not self._closed:
                self._changed.wait()
            return self._todo.popleft() if self._todo and not self._closed else None

    def _done(self, record: Record) -> None:
        with self._changed:
            if self._closed:
                return
            self._left -= 1
            self._changed.notify_all()
        self._records.put(record)

    def _lost(self, task: Task, status: int) -> None:
        """A worker died over a chip: another tries, or the chip has failed."""
        attempts = task.record.attempts
        if attempts < _ATTEMPTS:
            again = replace(task, record=replace(task.record, attempts=attempts + 1))
            with self._changed:
                if not self._closed:
                    self._todo.append(again)
                    self._changed.notify_all()
            return
        self._done(failed(task.record, lost_worker(status, str(self._log))))

    def _started(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it has read the program."""
        status = 0
        for _ in range(_STARTS):
            worker = self._spawn()
            try:
                send(_pipe(worker.stdin), list(sys.path))
                send(_pipe(worker.stdin), self._job)
                refusal = receive(_pipe(worker.stdout))
            except (EOFError, OSError):
                status = self._ended(worker)
                if self._closed:
                    break
                continue
            if refusal is None:
                return worker
            self._ended(worker)
            kind, code, message, where, hint = refusal
            raise kind(code, message, where=where, hint=hint)
        raise InternalError(
            "CIMC-I19",
            f"internal error: workers cannot start: {_end(status)}",
            where=str(self._log),
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        threads = str(self._job.settings.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Where cimc is found when it is not installed; the rest of the path is sent.
        paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        with self._log.open("ab") as log, self._changed:
            worker = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
            self._processes.add(worker)
            if self._closed:
                worker.kill()
        return worker

    def _ended(self, worker: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a worker; return its exit status, negative for a signal."""
        for pipe in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                _pipe(pipe).close()
        status = worker.wait()
        with self._changed:
            self._processes.discard(worker)
        return status


def lost_worker(status: int | None, where: str) -> InternalError:
    """Return what is said of a chip whose workers died, the last with an exit status."""
    how = "died" if status is None else _end(status)
    if status in (None, -9):
        how += ", perhaps for want of memory"
    return InternalError(
        "CIMC-I18", f"every worker that tried this chip was lost: the last {how}", where=where
    )


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"


def _pipe(pipe: Any) -> Any:
    assert pipe is not None
    return pipe
