"""Pages of docs/results with several tables each, made of results that are in a store."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tests.zoo.cache import ROOT
from tests.zoo.results import FOLDER, table_row


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a page.

    Attributes:
        title: Heading; '': none.
        text: Before the table.
        header: Of the columns; none: no table.
        rows: One a line.
        after: After the table, e.g. a picture.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    after: str = ""


def commit() -> str:
    """Return the commit that is checked out, in short."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT,
        check=False,
    ).stdout.strip()  # fmt: skip


def made_by(command: str) -> str:
    """Return the sentence that says what made a page, when and with what."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return (
        f"Made by `{command}`, then the same with `--write`, on {today} at {commit()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores."
    )


def lines_of(parts: Sequence[Part]) -> list[str]:
    """Return the lines of tables with their headings."""
    lines: list[str] = []
    for part in parts:
        lines += [f"## {part.title}", ""] if part.title else []
        lines += [textwrap.fill(part.text, 99), ""] if part.text else []
        if part.header:
            lines += [table_row(part.header), table_row(["---"] * len(part.header))]
            lines += [*map(table_row, part.rows), ""]
        lines += [part.after, ""] if part.after else []
    return lines


def write_lines(name: str, title: str, lines: Sequence[str]) -> None:
    """Write ``docs/results/<name>.md``."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = "\n".join([f"# {title}", "", *lines]).rstrip() + "\n"
    (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
