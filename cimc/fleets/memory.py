"""How much memory a process takes, as far as the system says (Linux says all of it)."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Final

_SELF: Final = Path("/proc/self")


def forget_peak() -> None:
    """Let the peak be counted from here."""
    with contextlib.suppress(OSError):
        (_SELF / "clear_refs").write_text("5")


def peak_rss_mib() -> float | None:
    """Return the most memory the process held since :func:`forget_peak` [MiB].

    Elsewhere than on Linux: since it started; None: the system does not say.
    """
    found = _kib(_SELF / "status", "VmHWM")
    if found is not None:
        return found / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def pss_mib() -> float | None:
    """Return the memory of the process, pages it shares divided among who shares them [MiB]."""
    found = _kib(_SELF / "smaps_rollup", "Pss")
    return None if found is None else found / 1024


def _kib(path: Path, name: str) -> int | None:
    try:
        said = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if said is None else int(said[1])
