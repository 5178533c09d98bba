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

_lock = threading.Lock()
#: Limits in force, by thread; the innermost block is the last [byte].
_active: dict[int, list[int]] = {}
_original: tuple[int, int] = (-1, -1)


@contextmanager
def bounded_memory(mebibytes: int) -> Iterator[None]:
    """Make allocations fail that grow the address space by more than this inside the block.

    A block inside another can only lower the limit.  The limit belongs to the process: with blocks
    in several threads the most generous thread's holds.  Where the operating system does not tell
    the size of the address space (anything but Linux) there is no limit.

    Args:
        mebibytes: Growth allowed [MiB].
    """
    size = _address_space_bytes()
    if resource is None or size is None:
        yield
        return
    thread = threading.get_ident()
    _enter(thread, size + (mebibytes << 20))
    try:
        yield
    finally:
        _leave(thread)


def _enter(thread: int, limit: int) -> None:
    global _original
    with _lock:
        if not _active:
            _original = resource.getrlimit(resource.RLIMIT_AS)
        limits = _active.setdefault(thread, [])
        limits.append(min([limit, *limits[-1:]]))
        _apply()


def _leave(thread: int) -> None:
    with _lock:
        _active[thread].pop()
        if not _active[thread]:
            del _active[thread]
        _apply()


def _apply() -> None:
    """Set the limit of the process from those in force."""
    soft, hard = _original
    wanted = max((limits[-1] for limits in _active.values()), default=None)
    if wanted is not None:
        existing = [limit for limit in _original if limit != resource.RLIM_INFINITY]
        soft = min([wanted, *existing])
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int | None:
    """Return the size of the address space [byte]; None where it cannot be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()
