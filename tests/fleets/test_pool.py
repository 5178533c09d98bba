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
from tests.fleets.conftest import Files, Fleet, rows


def test_a_worker_killed_once_costs_nothing(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "once").touch()
    report = fleet(["once", "refused", "b"], workers=1, verify_data=files.data)
    assert (report.done, report.failed) == (2, 1)
    found = rows(tmp_path / "out")
    assert {c: r["attempts"] for c, r in found.items()} == {"once": 2, "refused": 1, "b": 1}
    assert all(r["worker"].split(":")[1] != str(os.getpid()) for r in found.values())
    fleet(output=tmp_path / "here", verify_data=files.data)
    for chip, row in rows(tmp_path / "here").items():
        for name in ("program_sha256", "accuracy", "snr_db", "error_message", "fault_rate"):
            assert row[name] == found[chip][name]


@pytest.mark.slow
def test_a_chip_that_kills_every_worker(fleet: Fleet, tmp_path: Path) -> None:
    report = fleet(["a", "fatal", "b"], workers=2)
    assert (report.done, report.failed) == (2, 1)
    row = rows(tmp_path / "out")["fatal"]
    assert (row["error_code"], row["attempts"]) == ("CIMC-I18", 2)
    assert "SIGKILL" in row["error_message"]


@pytest.mark.slow
def test_workers_killed_from_outside(fleet: Fleet) -> None:
    killed: list[int] = []

    def kill(record: Record | None, standing: Standing) -> None:
        if record is not None and record.worker and len(killed) < 2:
            killed.append(int(record.worker.partition(":")[2]))
            os.kill(killed[-1], signal.SIGKILL)

    report = fleet([f"slow {i}" for i in range(8)], told=kill, workers=2)
    assert len(killed) == 2
    assert (report.done, report.failed) == (8, 0)


@pytest.mark.slow
def test_workers_that_refuse(fleet: Fleet) -> None:
    with pytest.raises(CimcError) as caught:
        fleet(["a"], engine=stand_in.refusing, workers=1)
    assert caught.value.code == "CIMC-S02"


@pytest.mark.slow
def test_workers_that_cannot_start(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(CimcError) as caught:
        fleet(["a"], engine=stand_in.dying, workers=1)
    assert caught.value.code == "CIMC-I19"
    assert "SIGKILL" in caught.value.message
    assert "the last words" in (tmp_path / "out" / ".fleet" / "workers.log").read_text()
