"""Run the measurements and print one JSON line each; ``--write`` keeps the table for the docs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tests.benchmarks import BENCHMARKS, peers
from tests.benchmarks.harness import Result
from tests.zoo.results import FOLDER, table_row, write_table

TABLE = "benchmarks"
HEADER = ("what", "measured", "bar", "passed", "others on the same work, same run")
NOTE = (
    "torch {torch}, numpy {numpy}, two threads, processor: {processor}. Ratios are of times "
    "measured in turns in one process, the fastest of each; `make bench PEERS=1` installs the "
    "other simulators that pip can install here and runs them too. They model less, see their "
    "settings below: none of these ratios is one of equal physics. Not run: aihwkit, which has no "
    "wheel for this Python, and CrossSim, which is not on the package index."
)


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
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write docs/results/{TABLE}.md; with --only that one's row and figures",
    )
    given = parser.parse_args()
    results = []
    for name in [given.only] if given.only else list(BENCHMARKS):
        result = run(name)
        results.append(result)
        if result is not None:
            print(result.line(), flush=True)
    if given.write and given.only:
        update(results[0])
    elif given.write:
        made = {result.name: result for result in results if result is not None}
        write(made)
    return 0 if all(result is not None and result.passed for result in results) else 1


def write(made: dict[str, Result]) -> None:
    """Write the table, and under it the lines with every setting and figure."""
    rows = [row(name, made.get(name)) for name in BENCHMARKS]
    note = NOTE.format(torch=version("torch"), numpy=version("numpy"), processor=peers.processor())
    command = "make bench PEERS=1` and `python -m tests.benchmarks --write"
    write_table(TABLE, "Speed and memory", command, HEADER, rows, note=note)
    lines = ["", "## Settings and figures", "", "```json"]
    lines += [result.line() for result in made.values()]
    with (FOLDER / f"{TABLE}.md").open("a", encoding="utf-8") as file:
        file.write("\n".join([*lines, "```", ""]))


def update(result: Result | None) -> None:
    """Put one measurement into the table and under it, in place of an older one."""
    if result is None:
        return
    path = FOLDER / f"{TABLE}.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    shown = table_row(row(result.name, result))
    for start, text in (
        (f"| {result.name} |", shown),
        (f'{{"name": "{result.name}"', result.line()),
    ):
        there = [k for k, line in enumerate(lines) if line.startswith(start)]
        if there:
            lines[there[0]] = text
        else:
            kind = "| " if start.startswith("|") else "{"
            last = max(k for k, line in enumerate(lines) if line.startswith(kind))
            lines.insert(last + 1, text)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def row(name: str, result: Result | None) -> Sequence[str]:
    """Return one row of the table."""
    if result is None:
        return (name, "not measured", "", "no", "")
    return (
        name,
        f"{result.value:.3g} {result.unit}",
        f"≤ {result.bar:g} {result.unit}",
        "yes" if result.passed else "no",
        "; ".join(f"{k} {_figure(v)}" for k, v in result.config.get("peers", {}).items()),
    )


def _figure(peer: object) -> str:
    if not isinstance(peer, dict):
        return str(peer)
    return f"{peer['version']}: {peer['x_torch']:.3g} x plain torch, {peer['ms']:.3g} ms"


if __name__ == "__main__":
    raise SystemExit(main())
