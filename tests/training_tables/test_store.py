"""The store and the statistics of the tables, against figures worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cimc.training.drawn import EVALUATION, TRAINING
from tests.training_tables import gdq_jobs, nm, ste
from tests.training_tables.chips import lognormal_variance
from tests.training_tables.jobs import CHIPS, Store
from tests.training_tables.pages import against
from tests.training_tables.run import ordered
from tests.training_tables.stats import Estimate, cell, difference, estimate, gap_cell, of

JOB = gdq_jobs.job("resnet20", 4, "noisy", 0)


def test_a_difference_is_students_interval_over_seeds() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, t(0.975, 2) = 4.302653.
    found = difference([[1.0, 3.0], [4.0], [6.0]], [[1.0], [2.0], [3.0]])
    assert found is not None
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.302653 / np.sqrt(3.0), rel=1e-6)
    assert found.sd == pytest.approx(1.0)
    assert found.verdict == "open"
    assert gap_cell(found) == "+2.00 (-0.48 to +4.48)"


def test_seeds_that_are_missing_are_left_out_and_told() -> None:
    assert of([None, None]) is None
    assert cell(of([None, None, None])) == "missing"
    assert cell(of([[90.0, 92.0], None, None])) == "91.00 [1]"
    assert cell(of([[90.0], [92.0], None])) == "91.00 ± 1.41 [2]"
    paired = difference([[3.0], [5.0], None], [[1.0], None, [1.0]])
    assert paired == Estimate(2.0, None, None, 1)
    assert gap_cell(paired) == "+2.00 (one seed)"


def test_goals_are_judged_by_the_interval() -> None:
    near, sure = estimate([0.0, 0.2, 0.1]), estimate([0.1, 0.1, 0.1001])
    assert against(0.15, near) == "met"
    assert against(0.2, sure) == "met, surely"
    assert against(0.05, near) == "missed"
    assert against(0.05, sure) == "missed, surely"


def test_keys_depend_on_everything_but_nothing_else() -> None:
    assert JOB.key == gdq_jobs.job("resnet20", 4, "noisy", 0).key
    changes: dict[str, Any] = {
        "seed": 1,
        "samples": 9,
        "scratch": True,
        "training": None,
        "network": "vgg8",
    }
    others = {replace(JOB, **{name: value}).key for name, value in changes.items()}
    assert len(others | {JOB.key}) == 1 + len(changes)


def test_chips_of_seeds_are_disjoint_and_not_those_of_training() -> None:
    ranges = [replace(JOB, seed=seed).chips for seed in range(3)]
    assert len({chip for chips in ranges for chip in chips}) == 3 * CHIPS
    assert max(max(chips) for chips in ranges) < EVALUATION < TRAINING


def test_a_result_is_kept_and_a_failure_is_no_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get(JOB) is None
    assert store.failed(JOB) is None
    store.put(JOB, {"error": "TimeoutError"})
    assert store.get(JOB) is None
    assert store.failed(JOB) == "TimeoutError"
    store.put(JOB, {"scores": {"clean": [1.0]}, "means": {}, "seconds": {}})
    assert store.scores([JOB, replace(JOB, seed=7)], "clean") == [[1.0], None]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_first_seeds_come_first_and_shared_jobs_once() -> None:
    jobs = ordered(["gdq", "types"], None)
    assert len({job.key for job in jobs}) == len(jobs)
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    assert {job.key for job in ordered(["types"], None)} <= {job.key for job in jobs}


def test_the_baseline_is_one_fine_tuning_for_all_levels() -> None:
    assert len({ste.job("vgg8", "baseline", level, 0).key for level in ste.LEVELS}) == 1
    assert len({ste.job("vgg8", "device", level, 0).key for level in ste.LEVELS}) == 3


def test_noise_of_eq_6_is_that_of_a_pair() -> None:
    # Two independent cells of sigma / sqrt 2 each: their difference has sigma = delta * range.
    assert math.hypot(*2 * [gdq_jobs.cell_sigma_us(0.02)]) == pytest.approx(0.02 * 15.75)


def test_variants_of_multipliers_differ() -> None:
    keys = {nm.job("resnet18", b, v, 0).key for b in nm.BITS for v in (None, *nm.VARIANTS)}
    assert len(keys) == 8


def test_the_variance_of_a_lognormal_write() -> None:
    # 200,000 draws: the standard error of a variance ratio is about 1 % here; 6 of them.
    g = torch.full((200_000,), 5.0)
    drawn = g * torch.exp(0.3 * torch.randn(g.shape, generator=torch.Generator().manual_seed(1)))
    assert lognormal_variance(g, 0.3).mean() == pytest.approx(float(drawn.var()), rel=0.06)
