"""A soft limit on the memory that a block of code may allocate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_lock = threading.RLock()


@contextmanager
def bounded_memory(mebibytes: int) -> Iterator[None]:
    """Make allocations fail that grow the address space by more than this inside the block.

    The limit belongs to the process: blocks of several threads run one after another, and what
    other threads allocate meanwhile counts too.  Where the operating system does not tell the size
    of the address space (anything but Linux) there is no limit.

    Args:
        mebibytes: Growth allowed [MiB].
    """
    with _lock:
        size = _address_space_bytes()
        if resource is None or size is None:
            yield
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = size + (mebibytes << 20)
        for existing in (soft, hard):
            if existing != resource.RLIM_INFINITY:
                wanted = min(wanted, existing)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int | None:
    """Return the size of the address space [byte]; None where it cannot be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()
