"""No worker processes: one chip after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from cimc.fleets.records import Record
from cimc.fleets.work import Job, Task, Worker


class Here:
    """This process as the only worker: what a debugger can step through."""

    def __init__(self, job: Job) -> None:
        """Take a job.

        Args:
            job: What all chips have in common.
        """
        self._job = job

    def run(self, tasks: Sequence[Task]) -> Iterator[Record]:
        """Yield a record for every task.

        Raises:
            CimcError: Nothing can be worked on.
        """
        before = torch.get_num_threads()
        try:
            worker = Worker(self._job)
            for task in tasks:
                yield worker.work(task)
        finally:
            torch.set_num_threads(before)

    def close(self) -> None:
        """Nothing is held."""
