"""Pages of docs/results with several tables each, made of results that are in the store."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tests.training_tables.jobs import CHIPS, SEEDS, Job, Store
from tests.training_tables.stats import Estimate, Scores
from tests.zoo.cache import ROOT
from tests.zoo.results import FOLDER, table_row

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


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a page.

    Attributes:
        title: Heading; '': none.
        text: Before the table.
        header: Of the columns.
        rows: One a line.
        after: After the table, e.g. a picture.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    after: str = ""


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
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT,
        check=False,
    ).stdout.strip()  # fmt: skip
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    made = (
        f"Made by `python -m tests.training_tables.run {tables}`, then the same with `--write`, "
        f"on {today} at {commit}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores."
    )
    lines = [f"# {title}", "", textwrap.fill(made, 99), "", text, ""]
    lines += (
        [textwrap.fill(READING.format(chips=CHIPS, last=CHIPS * len(SEEDS) - 1), 99), ""]
        if reading
        else []
    )
    for part in parts:
        lines += [f"## {part.title}", ""] if part.title else []
        lines += [textwrap.fill(part.text, 99), ""] if part.text else []
        lines += [table_row(part.header), table_row(["---"] * len(part.header))]
        lines += [*map(table_row, part.rows), ""]
        lines += [part.after, ""] if part.after else []
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


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
