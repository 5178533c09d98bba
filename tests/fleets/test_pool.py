"""Worker processes, and what becomes of chips when they die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cimc.errors import CimcError
from cimc.fleets.records import Record
from cimc.fleets.standing import Standing
from tests.fleets import stand_in
from tests.fleets.conftest import Fleet, rows


def test_a_worker_killed_once_costs_nothing(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "once").touch()
    report = fleet(["once", "a", "b"])
    assert report.failed == 0
    assert rows(tmp_path / "out")["once"]["attempts"] == 2


def test_workers_killed_from_outside(fleet: Fleet, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(record: Record | None, standing: Standing) -> None:
        if record is not None and record.worker and len(killed) < 2:
            killed.append(int(record.worker.partition(":")[2]))
            os.kill(killed[-1], signal.SIGKILL)

    report = fleet([f"slow {i}" for i in range(8)], told=kill)
    assert len(killed) == 2
    assert (report.done, report.failed) == (8, 0)


def test_a_fleet_that_cannot_begin(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(CimcError) as caught:
        fleet(["a", "b"], engine=stand_in.refusing)
    assert caught.value.code == "CIMC-S02"
    with pytest.raises(CimcError) as caught:
        fleet(engine=stand_in.dying)
    assert caught.value.code == "CIMC-I19"
    assert "SIGKILL" in caught.value.message
    assert "the last words" in (tmp_path / "out" / ".fleet" / "workers.log").read_text()
