"""Pages of docs/results with several tables each, made of results that are in the store."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tests.job_store.pages import Part, lines_of, made_by, write_lines
from tests.training_tables.jobs import CHIPS, SEEDS, Job, Store
from tests.training_tables.stats import Estimate, Scores

__all__ = ["Part", "against", "constant", "counted", "write_page"]

#: What ± and intervals are, for every page.
READING = (
    "A figure is the mean over seeds ± the standard deviation over seeds. A seed is one "
    "fine-tuning (order of the samples, the chips it trains on) and {chips} test chips of its "
    "own, the same chips for all rows; where samples are scored one by one, each chip scores its "
    "own twentieth of the test samples, so that all samples and all chips count. A difference is "
    "taken seed by seed (same chips, same samples) and shown with Student's 95 % interval over "
    "seeds, in brackets. A number in square brackets says that so many seeds are there, "
    "`missing` that none is. Test chips have seeds 0 to {last}, chips of training above 2^62. "
    "Training, calibration and test samples are disjoint."
)


def write_page(
    name: str, title: str, tables: str, text: str, parts: Sequence[Part], *, reading: bool = True
) -> None:
    """Write ``docs/results/<name>.md``.

    Args:
        name: Of the page.
        title: Of the page.
        tables: What ``python -m tests.training_tables.run`` is to be given.
        text: What a reader has to know of all figures.
        parts: The tables.
        reading: Say what ± and intervals are.
    """
    made = made_by(f"python -m tests.training_tables.run {tables}")
    lines = [textwrap.fill(made, 99), "", text, ""]
    if reading:
        told = READING.format(chips=CHIPS, last=CHIPS * len(SEEDS) - 1)
        lines += [textwrap.fill(told, 99), ""]
    write_lines(name, title, [*lines, *lines_of(parts)])


def counted(store: Store, jobs: Sequence[Job]) -> str:
    """Return a sentence on how many of the jobs of a page are there."""
    there = [row for job in jobs if (row := store.get(job)) is not None]
    failed = sum(store.failed(job) is not None for job in jobs)
    seconds = sum(sum(row["seconds"].values()) for row in there)
    text = f"{len(there)} of {len(jobs)} fine-tunings are there"
    text += f" ({seconds / 60:.0f} minutes of one core"
    return text + (f"; {failed} failed)." if failed else ").")


def against(goal: float, gap: Estimate | None) -> str:
    """Return whether a gap is at most a goal, as far as its interval says.

    ``met``: the mean is; ``met, surely``: the whole interval is; ``missed``: the mean is not;
    ``missed, surely``: no part of the interval is.
    """
    if gap is None:
        return ""
    if gap.half is None:
        return "met" if gap.mean <= goal else "missed"
    if gap.mean <= goal:
        return "met, surely" if gap.mean + gap.half <= goal else "met"
    return "missed, surely" if gap.mean - gap.half > goal else "missed"


def constant(value: float, like: Scores) -> Scores:
    """Return one figure as the score of every fine-tuning."""
    return [[value] for _ in like]
