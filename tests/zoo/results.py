"""Tables of measured figures for the documentation, with what made them."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence

from tests.zoo.cache import ROOT

FOLDER = ROOT / "docs" / "results"


def write_table(
    name: str,
    title: str,
    command: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    note: str = "",
) -> None:
    """Write ``docs/results/<name>.md``.

    Args:
        name: Of the page.
        title: Of the page.
        command: What makes this page again.
        header: Of the columns.
        rows: One a line.
        note: What a reader has to know of the figures.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    ).stdout.strip()
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    made = f"Made by `{command}` on {today} at {commit}, Python {platform.python_version()}, "
    made += f"{os.cpu_count()} cores."
    lines = [f"# {title}", "", made, "", *([note, ""] if note else [])]
    lines += [table_row(header), table_row(["---"] * len(header)), *map(table_row, rows)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table_row(cells: Sequence[str]) -> str:
    """Return one row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
