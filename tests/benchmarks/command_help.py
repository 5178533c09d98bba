"""``cimc --help``: what a user waits for before anything happens."""

from __future__ import annotations

from tests.benchmarks.harness import Result, child, cimc

RUNS = 7


def measure() -> Result:
    """Return the shortest of several cold starts [s]."""
    seconds = min(child(cimc("--help")).seconds for _ in range(RUNS))
    return Result("help", seconds, "s", 0.3, {"runs": RUNS, "figure": "shortest"})
