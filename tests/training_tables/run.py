"""Run the fine-tunings of tables and write their pages.

``python -m tests.training_tables.run TABLE... [--workers 2] [--write]``; ``all`` is every table.
What is there is not run again, so a run that was killed goes on where it was.  ``--write`` makes
the pages of what is there and runs nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.job_store.pool import Work, run, say
from tests.training_tables.jobs import FOLDER, Job, Row, Store
from tests.training_tables.tables import TABLES

#: What is done with a job.
WORK = Work("tests.training_tables.work", FOLDER)


def ordered(tables: Sequence[str], seeds: Sequence[int] | None) -> list[Job]:
    """Return the jobs of tables, each once: first seed first, tables in the order given.

    Extra tables come after all seeds of the others.
    """
    unique: dict[str, Job] = {}
    listed = [
        (job.seed + (100 if TABLES[t].extra else 0), k, n, job)
        for k, t in enumerate(tables)
        for n, job in enumerate(TABLES[t].jobs())
    ]
    for _, _, _, job in sorted(listed, key=lambda entry: entry[:3]):
        if seeds is None or job.seed in seeds:
            unique.setdefault(job.key, job)
    return list(unique.values())


def missing(jobs: Sequence[Job], *, again: bool) -> list[Job]:
    """Return the jobs without a result; ``again``: failed ones too."""
    store = Store()
    return [job for job in jobs if store.get(job) is None and (again or store.failed(job) is None)]


def _told(row: Row) -> str:
    means = ", ".join(f"{name} {mean:.2f}" for name, mean in row["means"].items())
    seconds = row["seconds"]
    return f"{means}; {seconds['train']:.1f} + {seconds['evaluate']:.1f} s"


def main() -> int:
    """Run or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.training_tables.run")
    parser.add_argument("tables", nargs="+", choices=["all", *TABLES])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", help="only these")
    parser.add_argument("--networks", nargs="+", help="only these")
    parser.add_argument("--again", action="store_true", help="run failed jobs again")
    parser.add_argument("--list", action="store_true", help="say what is missing")
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    tables = list(TABLES) if "all" in given.tables else given.tables
    if given.write:
        for write in dict.fromkeys(TABLES[name].write for name in tables):
            write(Store())
        return 0
    jobs = ordered(tables, given.seeds)
    if given.networks:
        jobs = [job for job in jobs if job.network in given.networks]
    todo = missing(jobs, again=given.again)
    say(f"{len(todo)} of {len(jobs)} jobs to run")
    if given.list:
        for job in todo:
            say(str(job))
        return 0
    return min(1, run(todo, WORK, given.workers, _told))


if __name__ == "__main__":
    raise SystemExit(main())
