"""The tables' bookkeeping: what is a job of its own, what comes first, what is enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fault_tables import guidance, ingredients, methods, multipliers, others
from tests.fault_tables.jobs import MAPS, Faults, Job, Store
from tests.fault_tables.run import listed, missing
from tests.fault_tables.ways import NOTHING, WAYS
from tests.job_store.pool import Work

JOB = methods.cells("8", "all", 0.1)[0]


def row(score: float, ended: str = "2026-01-01T00:00:00") -> dict[str, Any]:
    return {"scores": {"ideal": score, "chip": score}, "seconds": {}, "commit": "", "ended": ended}


def test_keys_depend_on_every_setting() -> None:
    changes: dict[str, Any] = {
        "faults": Faults(0.2),
        "method": "nearest",
        "settings": {"rows": False},
        "training": {"epochs": 1},
        "samples": 9,
        "modes": ("ideal",),
        "seed": 1,
        "base": methods.pair(4),
    }
    keys = {replace(JOB, **{name: value}).key for name, value in changes.items()}
    assert len(keys | {JOB.key}) == 1 + len(changes)
    assert replace(JOB).key == JOB.key


def test_rows_of_a_table_share_their_maps() -> None:
    for section, found in methods.SECTIONS.items():
        maps = {tuple(j.seed for j in methods.cells(section, way, 0.1)) for way in found.ways}
        assert maps == {MAPS}


@pytest.mark.parametrize("make", [methods.jobs, ingredients.jobs, multipliers.fault_jobs,
                                  multipliers.variability_jobs, others.jobs])  # fmt: skip
def test_no_job_is_listed_twice(make: Any) -> None:
    jobs = make()
    assert len({job.key for job in jobs}) == len(jobs)


def test_the_main_rows_come_first() -> None:
    first = listed(["methods", "ingredients"])[:40]
    assert {job.base.key for job in first} == {methods.pair(8).key}
    assert {job.method for job in first} == {"nearest", "feedback"}
    assert {job.faults.rate for job in first} == set(methods.RATES) - {0.0}
    assert [job.seed for job in first] == sorted(job.seed for job in first)


def test_every_ingredient_is_alone_and_left_out_once() -> None:
    switches = {name for name, value in NOTHING.items() if value is False}
    assert switches == set(ingredients.SWITCHES)
    for name in switches:
        assert ingredients.without(name).settings == {name: False}
        assert ingredients.alone(name).settings[name] is True


def test_older_results_can_be_found_again(tmp_path: Path, monkeypatch: Any) -> None:
    store = Store(tmp_path)
    store.put(JOB, row(90.0))
    monkeypatch.setattr("tests.fault_tables.run.Store", lambda: store)
    assert missing([JOB], again=False, since="") == []
    assert missing([JOB], again=False, since="2026-01-02") == [JOB]
    kept = Work("nothing.there", tmp_path)(JOB)
    assert kept["scores"]["ideal"] == 90.0
    with pytest.raises(ModuleNotFoundError):
        Work("nothing.there", tmp_path, since="2026-01-02")(JOB)


def test_the_cheapest_method_that_is_surely_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fault_tables.networks.float_score", lambda name: 92.0)
    store = Store(tmp_path)
    assert guidance.choice(store, "8", 0.1, 1.0) == "not known yet"

    def put(way: str, scores: list[float]) -> list[Job]:
        found = methods.cells("8", way, 0.1)
        for job, score in zip(found, scores, strict=True):
            store.put(job, row(score))
        return found

    put("nearest", [91.2, 91.2, 91.2, 91.2, 85.0])  # one bad chip: not surely within
    put("all", [91.5, 91.6, 91.5, 91.4, 91.5])
    assert guidance.choice(store, "8", 0.1, 1.0) == "feedback (0.5)"
    assert guidance.choice(store, "8", 0.1, 0.2) == "not known yet"
    put("training", [91.7] * 5)
    assert guidance.choice(store, "8", 0.1, 0.2) == "none"
    assert WAYS["all"].settings == {}
