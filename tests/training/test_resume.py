"""A real compilation, killed and called again, and in two processes; a table has more of both."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.training_tables.resume import Job, kill_and_resume, processes_agree


@pytest.mark.slow
def test_a_killed_compilation_ends_in_the_same_program(tmp_path: Path) -> None:
    job = Job(tmp_path, 150)
    job.prepare()
    job.run("whole")
    draw = random.Random(5)
    step = draw.randrange(job.history("whole").steps)
    found = kill_and_resume(job, "killed", step, draw.uniform(0.0, 0.5), job.digest("whole"))
    assert found.same
    # Killed in the middle, not before the first step or after the last.
    assert step <= found.step < job.history("whole").steps


@pytest.mark.slow
def test_two_processes_compile_what_one_does(tmp_path: Path) -> None:
    job = Job(tmp_path, 150, "rram")
    job.prepare()
    for row in processes_agree(job):
        assert float(row[3]) < 1e-3
