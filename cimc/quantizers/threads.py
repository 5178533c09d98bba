"""How many threads torch uses while many small operations run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
