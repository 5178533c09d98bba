"""What a measurement returns, and the ways to time things that several of them share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement.

    Attributes:
        name: As on the command line.
        value: What was measured.
        unit: Of value and bar: ``x`` a ratio, ``s``, ...
        bar: Largest value that passes.
        config: What was measured: sizes, and the figures behind the value.
        also: Whether the bars besides the one on ``value`` hold.
    """

    name: str
    value: float
    unit: str
    bar: float
    config: Mapping[str, Any]
    also: bool = True

    @property
    def passed(self) -> bool:
        """Whether every bar holds."""
        return self.also and self.value <= self.bar

    def line(self) -> str:
        """Return the result as one line of JSON."""
        fields = {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "bar": self.bar,
            "passed": self.passed,
            "config": {
                key: rounded(value) if isinstance(value, float) else value
                for key, value in self.config.items()
            },
        }
        return json.dumps(fields)


def rounded(value: float) -> float:
    """Return the value to four significant digits."""
    return float(f"{value:.4g}")


def fastest(runs: Mapping[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Return the shortest time of each run [s].

    The runs take turns, so that a busy machine slows all of them alike.
    """
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(times):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


@dataclass(frozen=True, slots=True)
class Child:
    """How a child process did.

    Attributes:
        seconds: Wall time [s].
        cpu_seconds: Processor time of all its threads [s]; a busy machine leaves it alone.
        peak_rss_mib: Its own peak resident set, mapped files included [MiB].
        stdout: What it said.
    """

    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    stdout: str


def child(command: Sequence[str], folder: Path | None = None) -> Child:
    """Run a command to its end, with two threads.

    Raises:
        RuntimeError: It failed; the message holds the end of its stderr.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=error)
        # wait4 and not getrusage: this child alone, not the largest of all there have been.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        error.seek(0)
        if process.returncode:
            said = error.read()[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}: {said}")
        processor = usage.ru_utime + usage.ru_stime
        return Child(seconds, processor, usage.ru_maxrss / 1024, out.read())


def cimc(*arguments: str) -> list[str]:
    """Return the command line of a cimc verb in this Python."""
    return [sys.executable, "-m", "cimc", *arguments]
