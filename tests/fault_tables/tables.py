"""The tables by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.fault_tables import methods
from tests.fault_tables.jobs import Job, Store


@dataclass(frozen=True, slots=True)
class Table:
    """A page.

    Attributes:
        jobs: Its recompilations, in the order they are run.
        write: Writes the page.
    """

    jobs: Callable[[], list[Job]]
    write: Callable[[Store], None]


TABLES: Final[dict[str, Table]] = {
    "methods": Table(methods.jobs, methods.write),
}
