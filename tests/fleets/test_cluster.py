"""A Dask cluster by its address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cimc.errors import CimcError
from cimc.fleets import cluster, work
from cimc.fleets.records import Record
from cimc.fleets.standing import Standing
from tests.fleets.conftest import Files, Fleet, rows, write_maps
from tests.fleets.test_resume import programs, timeless

distributed = pytest.importorskip("distributed")
# Dask warns of ports that are taken and of files its own workers leave open.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def here() -> Iterator[str]:
    """The address of a scheduler with one worker, in this process."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
        protocol="tcp", host="127.0.0.1",
    ) as found:  # fmt: skip
        yield found.scheduler_address


def test_the_same_as_without(fleet: Fleet, files: Files, tmp_path: Path, here: str) -> None:
    write_maps(tmp_path / "maps", ["a", "refused", "b", "c", "broken"])
    (tmp_path / "maps" / "torn.csv").write_text("torn")
    report = fleet(workers=None, scheduler=here, verify_data=files.data)
    assert (report.done, report.failed) == (3, 3)
    fleet(output=tmp_path / "alone", verify_data=files.data)
    assert timeless(tmp_path / "out") == timeless(tmp_path / "alone")
    assert programs(tmp_path / "out") == programs(tmp_path / "alone")


def test_interrupted_and_called_again(fleet: Fleet, tmp_path: Path, here: str) -> None:
    def stop(record: Record | None, standing: Standing) -> None:
        if standing.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet([f"slow {i}" for i in range(8)], workers=None, scheduler=here, told=stop)
    assert len(rows(tmp_path / "out")) == 3
    report = fleet(workers=None, scheduler=here)
    assert (report.before, report.done) == (3, 8)
    fleet(output=tmp_path / "alone")
    assert programs(tmp_path / "out") == programs(tmp_path / "alone")


def test_no_scheduler(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    for address in ("tcp://127.0.0.1:1", "no address"):
        with pytest.raises(CimcError) as caught:
            fleet(["a"], workers=None, scheduler=address)
        assert caught.value.code == "CIMC-U79"
        assert address in caught.value.where


def test_workers_that_do_not_see_the_files(
    fleet: Fleet, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "able", lambda job, shared: "it does not see /there")
    with pytest.raises(CimcError, match="does not see /there") as caught:
        fleet(["a"], workers=None, scheduler=here)
    assert caught.value.code == "CIMC-U79"


def test_what_a_worker_is_asked(files: Files, tmp_path: Path) -> None:
    from tests.fleets import stand_in

    settings = work.FleetSettings()
    good = work.Job(files.program, "", settings, "", None, stand_in.engine)
    assert cluster.able(good, tmp_path) == ""
    assert "is the file system shared?" in cluster.able(good, tmp_path / "nothing")
    old = work.Job(files.program, "", settings, "", None, stand_in.engine, "0.0.1")
    assert "it has cimc" in cluster.able(old, tmp_path)


def test_dask_may_be_missing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CimcError, match="not installed") as caught:
        fleet(["a"], workers=None, scheduler="tcp://127.0.0.1:1")
    assert caught.value.code == "CIMC-U79"


@pytest.mark.slow
def test_workers_in_processes_that_die(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as found,
    ):
        report = fleet(
            ["a", "b", "fatal", "c"],
            workers=None,
            scheduler=found.scheduler_address,
            verify_data=files.data,
        )
    assert report.failures[0]["chip"] == "fatal"
    row = rows(tmp_path / "out")["a"]
    assert row["worker"].split(":")[1] != str(os.getpid())
    assert rows(tmp_path / "out")["fatal"]["error_code"] == "CIMC-I18"
    (tmp_path / "maps" / "002-fatal.safetensors").unlink()
    report = fleet(verify_data=files.data)  # goes on here, without a cluster
    assert (report.done, report.failed) == (3, 0)
