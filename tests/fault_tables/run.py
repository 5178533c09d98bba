"""Recompile for the chips of tables, and write their pages.

``python -m tests.fault_tables.run TABLE... [--workers 2] [--write]``; ``all`` is every table.
What is there is not run again, so a run that was killed goes on where it was.  ``--write`` makes
the pages of what is there and runs nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.fault_tables import growth
from tests.fault_tables.jobs import FOLDER, Job, Row, Store
from tests.fault_tables.tables import TABLES
from tests.job_store.pool import Work, run, say


def listed(tables: Sequence[str]) -> list[Job]:
    """Return the jobs of tables, each once, in the order of the tables."""
    unique: dict[str, Job] = {}
    for table in tables:
        for job in TABLES[table].jobs():
            unique.setdefault(job.key, job)
    return list(unique.values())


def missing(jobs: Sequence[Job], *, again: bool, since: str) -> list[Job]:
    """Return the jobs without a result.

    Args:
        jobs: Of tables.
        again: Failed ones too.
        since: Results that ended before this time (ISO) do not count; '': all do.
    """
    store = Store()

    def lacks(job: Job) -> bool:
        row = store.get(job)
        if row is not None:
            return str(row["ended"]) < since
        return again or store.failed(job) is None

    return [job for job in jobs if lacks(job)]


def told(row: Row) -> str:
    """Return what a progress line says of a result."""
    if "scores" not in row:
        return growth.told(row)
    scores = ", ".join(f"{mode} {score:.2f}" for mode, score in row["scores"].items())
    seconds = row["seconds"]
    return f"{scores}; {seconds['recompile']:.1f} + {seconds['evaluate']:.1f} s"


def main() -> int:
    """Run or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault_tables.run", description=__doc__)
    parser.add_argument("tables", nargs="+", choices=["all", *TABLES])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nice", type=int, default=5, help="how much other work comes first")
    parser.add_argument("--again", action="store_true", help="run failed jobs again")
    parser.add_argument("--since", default="", metavar="TIME", help="run older results again")
    parser.add_argument("--only", default="", help="only jobs whose name contains this")
    parser.add_argument("--maps", type=int, help="only the first maps")
    parser.add_argument("--list", action="store_true", help="say what is missing")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    tables = list(TABLES) if "all" in given.tables else given.tables
    if given.write:
        for name in tables:
            TABLES[name].write(Store())
        return 0
    jobs = [job for job in listed(tables) if given.only in str(job)]
    jobs = [job for job in jobs if given.maps is None or job.seed < given.maps]
    modules = {TABLES[name].work for name in tables}
    if len(modules) > 1:
        parser.error("growth measures time: alone")
    work = Work(modules.pop(), FOLDER, since=given.since, nice=given.nice)
    todo = missing(jobs, again=given.again, since=given.since)
    say(f"{len(todo)} of {len(jobs)} jobs to run")
    if given.list:
        for job in todo:
            say(str(job))
        return 0
    return min(1, run(todo, work, given.workers, told))


if __name__ == "__main__":
    raise SystemExit(main())
