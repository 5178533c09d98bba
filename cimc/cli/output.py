"""What the user sees: text, tables and progress on stderr, one JSON object on stdout."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cimc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

#: Width of tables that go to a file or a pipe [character].
_PLAIN_WIDTH = 120


def console() -> Console:
    """Return the console on stderr; plain when stderr is no terminal or NO_COLOR is set."""
    from rich.console import Console

    plain = Console(stderr=True, highlight=False)
    if plain.is_terminal:
        return plain
    return Console(stderr=True, highlight=False, width=_PLAIN_WIDTH)


def emit_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout; NaN and infinity become null."""
    click.echo(json.dumps(finite(value), allow_nan=False))


def finite(value: Any) -> Any:
    """Return plain data with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def check_output(path: str, *, folder: bool = False, option: str = "-o") -> None:
    """Refuse a place that cannot be written, before hours of work are done.

    Args:
        path: Where to write.
        folder: What is written is a folder, not a file.
        option: What names the place.

    Raises:
        UsageError: CIMC-U07.
    """
    place = Path(path).absolute().parent
    why = ""
    if not place.is_dir():
        why = "there is no such folder"
    elif not os.access(place, os.W_OK):
        why = "no permission to write there"
    elif not folder and Path(path).is_dir():
        place, why = Path(path).absolute(), "it is a folder, not a file"
    if why:
        raise UsageError(
            "CIMC-U07", f"cannot read or write: {why}", where=str(place), hint=f"another {option}"
        )


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        shown.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    console().print(shown)


def facts(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Print a title and a list of names with values."""
    from rich.markup import escape

    out = console()
    out.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        out.print(f"  {name:<{width}}  {value}", markup=False, soft_wrap=True)


def warn(messages: Sequence[str]) -> None:
    """Print warnings."""
    from rich.markup import escape

    out = console()
    for message in messages:
        out.print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Show a bar for each kind of work on a terminal, nothing otherwise.

    Yields:
        A function that takes what is being done and the share done, 0 to 1.  What follows a colon
        is shown, and changes with the share; a bar is of what stands before it.
    """
    out = console()
    if not out.is_terminal:
        yield lambda what, share: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=out,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def show(what: str, share: float) -> None:
        kind = what.partition(":")[0]
        if kind not in tasks:
            for task in tasks.values():
                bars.update(task, completed=1.0)
            tasks[kind] = bars.add_task(what, total=1.0)
        bars.update(tasks[kind], description=what, completed=share)

    with bars:
        yield show


def set_up_logging(level: str) -> None:
    """Send log records to stderr."""
    logging.basicConfig(
        level=level.upper(), format="%(levelname)s %(name)s: %(message)s", force=True
    )
    logging.captureWarnings(True)
    if level.lower() not in ("debug", "info"):
        # Library warnings are for developers; what users must know is in the reports.
        logging.getLogger("py.warnings").setLevel(logging.ERROR)


def percent(value: float | None) -> str:
    """Return a share as a percentage."""
    return "-" if value is None else f"{100 * value:.2f} %"


def share(value: float | None) -> str:
    """Return a small share as a percentage with two significant digits."""
    if value is None:
        return "-"
    return "0 %" if value == 0 else f"{100 * value:.2g} %"


def decibels(value: float | None) -> str:
    """Return a ratio in dB; equal values have an infinite one."""
    if value is None:
        return "-"
    if value == float("inf"):
        return "exact"
    return f"{value:.1f} dB"
