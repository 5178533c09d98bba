"""Bounds on what a running program may take: a hostile one must not take the machine down."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cimc.errors import ProgramError
from cimc.ops.opaque import opaque_limits

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

#: A run may always take this much [byte].
LEAST_BYTES = 1 << 30
#: How long a look at the machine's memory holds [s].
_FRESH = 1.0


@contextmanager
def guarded() -> Iterator[int]:
    """Run a program with its memory bounded by what the machine has available.

    A huge Expand, Tile or padding asks for its memory in one piece: the request is refused before
    anything is written.  Opaque operators are bounded in time as well.

    Yields:
        The bound [byte].
    """
    with _address_space as limit, opaque_limits(error=ProgramError):
        yield limit


class _AddressSpace:
    """Bounds the growth of the process while at least one run is going on.

    The bound is the process's, so what other threads allocate meanwhile counts too.  Where the
    system does not tell the size of the address space (anything but Linux) there is none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._before: tuple[int, int] | None = None
        self._available, self._seen = LEAST_BYTES, float("-inf")

    def __enter__(self) -> int:
        with self._lock:
            self._runs += 1
            now = time.monotonic()
            if now - self._seen > _FRESH:
                self._available, self._seen = available_bytes(), now
            if self._runs == 1:
                self._bound()
            return self._available

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs == 0 and self._before is not None:
                resource.setrlimit(resource.RLIMIT_AS, self._before)
                self._before = None

    def _bound(self) -> None:
        size = _address_space_bytes()
        if resource is None or size is None:
            return
        soft, hard = self._before = resource.getrlimit(resource.RLIMIT_AS)
        limits = [v for v in (soft, hard) if v != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([size + self._available, *limits]), hard))


_address_space = _AddressSpace()


def available_bytes() -> int:
    """Return the memory a run may take [byte]."""
    for line in (_read("/proc/meminfo") or b"").splitlines():
        if line.startswith(b"MemAvailable:"):
            return max(LEAST_BYTES, int(line.split()[1]) << 10)
    return 1 << 40


def _address_space_bytes() -> int | None:
    """Return the size of the address space [byte]; None where it cannot be known."""
    text = _read("/proc/self/statm")
    return None if text is None else int(text.split()[0]) * resource.getpagesize()


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)
