"""The workers of a Dask cluster, by the address of its scheduler.

Nothing large is sent: workers read the program and the fault maps, and write programs, under the
same paths as this machine, on a file system all share.  That they can, and that they run this
version of cimc, is asked before the first chip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cimc.errors import UsageError
from cimc.fleets.pool import lost_worker
from cimc.fleets.records import Record
from cimc.fleets.work import Job, Task, failed, work
from cimc.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

#: How long the scheduler may take to answer, and workers to appear [s].
_PATIENCE_S: Final = 15
#: Chips handed to the scheduler for every thread of the cluster: workers never wait for us.
_AHEAD: Final = 4


class Cluster:
    """The workers behind one scheduler."""

    def __init__(self, job: Job, address: str, shared: Path) -> None:
        """Connect, and make sure that the workers can do what they will be asked.

        Args:
            job: What all chips have in common.
            address: Of the scheduler, ``tcp://host:port``.
            shared: A file on the shared file system, in the output directory.

        Raises:
            UsageError: CIMC-U79, Dask is not installed, there is no such scheduler, or its
                workers cannot work for this fleet.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise _unusable(
                "Dask is not installed", address, "pip install 'cimc[fleet]'"
            ) from error
        self._job, self._address = job, address
        try:
            self._client: Client = Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            raise _unusable(
                f"no scheduler answers: {text}", address, "its tcp:// address"
            ) from error
        try:
            self.workers = self._checked(shared)
        except BaseException:
            self.close()
            raise

    def _checked(self, shared: Path) -> int:
        """Ask every worker whether it can do the work; return the number of their threads."""
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError as error:
            raise _unusable("the scheduler has no workers", self._address) from error
        try:
            answers = self._client.run(able, self._job, shared, on_error="return")
        except Exception as error:  # whatever unpickling meets where cimc is missing
            answers = {"workers": error}
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                text = " ".join(f"{type(answer).__name__}: {answer}".split())[:200]
                answer = f"it cannot be asked ({text}): is cimc installed there?"
            if answer:
                raise _unusable(f"worker {worker}: {answer}", self._address)
        return sum(self._client.nthreads().values())

    def run(self, tasks: Sequence[Task]) -> Iterator[Record]:
        """Yield a record for every task, as they come.

        Raises:
            CimcError: A worker cannot work on anything.
        """
        from distributed import as_completed

        left = iter(tasks)
        running: dict[Future, Task] = {}
        suspects: list[Task] = []

        def handed_out(count: int) -> list[Future]:
            some = [(self._submit(task), task) for task in islice(left, count)]
            running.update(some)
            return [future for future, _ in some]

        # With results: what stays on a worker is lost with it, and would be worked on again.
        done = as_completed(
            handed_out(max(1, _AHEAD * self.workers)),
            loop=self._client.loop,
            with_results=True,
            raise_errors=False,
        )
        for future, result in done:
            task = running.pop(future)
            for more in handed_out(1):
                done.add(more)
            if self._lost(future, result):
                suspects.append(task)
            else:
                yield result
        # The scheduler blames every chip that waited for a worker that died: each again, alone.
        for task in suspects:
            future = self._submit(task)
            ((_, result),) = as_completed(
                [future], loop=self._client.loop, with_results=True, raise_errors=False
            )
            lost = self._lost(future, result)
            yield failed(task.record, lost_worker(None, self._address)) if lost else result

    def _submit(self, task: Task) -> Future:
        # Not pure: the same chip may have to be worked on twice, after a failure.
        return self._client.submit(work, self._job, task, pure=False)

    def _lost(self, future: Future, result: Any) -> bool:
        """Whether workers died with a chip; anything else that went wrong is raised."""
        from distributed.scheduler import KilledWorker

        if isinstance(result, Record):
            return False
        error = future.exception()
        if isinstance(error, KilledWorker):
            return True
        raise error

    def close(self) -> None:
        """Leave the cluster; what it has not begun is taken back."""
        self._client.close()


def able(job: Job, shared: Path) -> str:
    """Return what keeps this process from working for a fleet; nothing does: ''."""
    if __version__ != job.cimc_version:
        return f"it has cimc {__version__}"
    for path in (job.program, shared):
        if not path.exists():
            return f"it does not see {path}: is the file system shared?"
    return ""


def _unusable(message: str, address: str, hint: str = "") -> UsageError:
    return UsageError("CIMC-U79", message, where=f"--scheduler {address}", hint=hint)
