"""Bounds on what a running program may take: a hostile one must not take the machine down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cimc.errors import ProgramError
from cimc.ops.opaque import opaque_limits
from cimc.ops.opaque_memory import bounded_memory

#: A run may always take this much [MiB].
LEAST_MEBIBYTES = 1024


@contextmanager
def guarded() -> Iterator[None]:
    """Run a program with its memory bounded by what the machine has available.

    A huge Expand, Tile or padding asks for its memory in one piece: the request is refused before
    anything is written.  Opaque operators are bounded in time as well.
    """
    with bounded_memory(available_mebibytes()), opaque_limits(error=ProgramError):
        yield


def available_mebibytes() -> int:
    """Return the memory a run may take [MiB]."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        pages, size = "SC_PHYS_PAGES", "SC_PAGE_SIZE"
        if not hasattr(os, "sysconf") or pages not in os.sysconf_names:
            return 1 << 20
        return max(LEAST_MEBIBYTES, os.sysconf(pages) * os.sysconf(size) >> 20)
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return max(LEAST_MEBIBYTES, int(line.split()[1]) >> 10)
    return 1 << 20
