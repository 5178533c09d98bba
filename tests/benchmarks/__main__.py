"""Run the measurements and print one JSON line each; ``--write`` keeps the table for the docs."""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.metadata import version

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.harness import Result
from tests.zoo.results import write_table

TABLE = "benchmarks"


def run(name: str) -> Result | None:
    """Run one measurement; say so on stderr when it cannot be made."""
    try:
        result: Result = importlib.import_module(BENCHMARKS[name]).measure()
    except Exception as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        return None
    return result


def main() -> int:
    """Return 0 when every measurement was made and passed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=list(BENCHMARKS), help="run this one")
    parser.add_argument("--write", action="store_true", help=f"write docs/results/{TABLE}.md")
    given = parser.parse_args()
    if given.only and given.write:
        parser.error("--write needs all of them")
    results = []
    for name in [given.only] if given.only else list(BENCHMARKS):
        result = run(name)
        results.append(result)
        if result is not None:
            print(result.line(), flush=True)
    if given.write:
        made = [result for result in results if result is not None]
        rows = [
            (
                r.name,
                f"{r.value:.3g} {r.unit}",
                f"≤ {r.bar:g} {r.unit}",
                "yes" if r.passed else "no",
            )
            for r in made
        ]
        write_table(
            TABLE,
            "Speed and memory",
            "python -m tests.benchmarks --write",
            ("what", "measured", "bar", "passed"),
            rows,
            note=f"torch {version('torch')}, numpy {version('numpy')}, two threads.",
        )
    return 0 if all(result is not None and result.passed for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
