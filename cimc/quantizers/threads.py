"""How many threads torch uses while many small operations run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the ``with`` block.

    Operations on some thousand elements take microseconds; handing half of one to another thread
    costs more than it saves, and very much more on a machine whose cores are busy.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of independent work in order, as many at a time as torch has threads.

    Each is done with one thread of torch, so that results do not depend on how many there are.

    Args:
        work: Done for every item; in threads, without the context of the caller.
        items: What it is done for, all of them read at once.
    """
    workers = torch.get_num_threads()
    with one_thread():
        if workers == 1:
            yield from map(work, items)
            return
        # A new thread has torch's default again, so each is told by itself.
        start = torch.set_num_threads
        with ThreadPoolExecutor(workers, initializer=start, initargs=(1,)) as pool:
            yield from pool.map(work, items)
