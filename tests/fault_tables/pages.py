"""Pages of docs/results made of recompilations that are in the store."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tests.fault_tables.jobs import MAPS, Job, Store
from tests.job_store.pages import Part, lines_of, made_by, write_lines
from tests.training_tables import stats
from tests.training_tables.stats import Estimate

#: What ± and intervals are, for every page.
READING = (
    "A figure is the mean over fault maps (maps {first} to {last}, the same for all rows and "
    "columns of a table), ± the standard deviation over maps; a difference is shown with "
    "Student's 95 % interval over maps, the test samples fixed. A number in square brackets says "
    "that so many maps are there, `missing` that none is."
)


def gap_cell(value: Estimate | None) -> str:
    """Return what a table shows of a difference; maps that are missing are told."""
    return stats.gap_cell(value).replace("one seed", "one map")


def write_page(
    name: str, title: str, tables: str, text: str, parts: Sequence[Part], *,
    reading: bool = True, maps: Sequence[int] = MAPS,
) -> None:  # fmt: skip
    """Write ``docs/results/<name>.md``.

    Args:
        name: Of the page.
        title: Of the page.
        tables: What ``python -m tests.fault_tables.run`` is to be given.
        text: What a reader has to know of all figures.
        parts: The tables.
        reading: Say what ± and intervals are.
        maps: Fault maps of a figure.
    """
    made = made_by(f"python -m tests.fault_tables.run {tables}")
    lines = [textwrap.fill(made, 99), ""]
    lines += [textwrap.fill(text, 99), ""] if text else []
    if reading:
        told = READING.format(first=maps[0], last=maps[-1])
        lines += [textwrap.fill(told, 99), ""]
    write_lines(name, title, [*lines, *lines_of(parts)])


def counted(store: Store, jobs: Sequence[Job]) -> str:
    """Return a sentence on how many of the jobs of a page are there."""
    there = [row for job in jobs if (row := store.get(job)) is not None]
    failed = sum(store.failed(job) is not None for job in jobs)
    seconds = sum(sum(row["seconds"].values()) for row in there)
    commits = sorted({row["commit"] for row in there})
    text = f"{len(there)} of {len(jobs)} recompilations are there"
    text += f" ({seconds / 60:.0f} minutes of one core"
    text += f"; {failed} failed" if failed else ""
    return f"{text}), made at {_told(commits)}."


def _told(commits: Sequence[str]) -> str:
    return ", ".join(commits) if len(commits) <= 3 else f"{len(commits)} commits of one day"
