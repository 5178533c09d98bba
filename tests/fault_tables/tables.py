"""The tables by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.fault_tables import growth, guidance, ingredients, methods, multipliers, others
from tests.fault_tables.jobs import Store


@dataclass(frozen=True, slots=True)
class Table:
    """A page.

    Attributes:
        jobs: Its recompilations, in the order they are run.
        write: Writes the page.
        work: Module that runs them.
    """

    jobs: Callable[[], list[Any]]
    write: Callable[[Store], None]
    work: str = "tests.fault_tables.work"


TABLES: Final[dict[str, Table]] = {
    "methods": Table(methods.jobs, methods.write),
    "guidance": Table(list, guidance.write),  # of the results of "methods"
    "ingredients": Table(ingredients.jobs, ingredients.write),
    "nm-faults": Table(multipliers.fault_jobs, multipliers.write_faults),
    "nm-variability": Table(multipliers.variability_jobs, multipliers.write_variability),
    "growth": Table(growth.jobs, growth.write, "tests.fault_tables.growth"),
    "networks": Table(others.jobs, others.write),
}
