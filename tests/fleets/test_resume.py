"""Interrupted at any point and called again: no chip lost, none done twice, the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimc.errors import CimcError
from cimc.faults import save_fault_map
from cimc.fleets.records import Record
from cimc.fleets.standing import Standing
from tests.fleets.conftest import Files, Fleet, fault_map, rows, write_maps

ROOT = Path(__file__).resolve().parents[2]
CHIPS = [f"c{i}" for i in range(8)]
#: Columns that say when and where, not what.
HOW = {"seconds", "verify_seconds", "peak_rss_mib", "pss_mib", "worker", "finished", "attempts"}


def timeless(out: Path) -> dict[str, dict[str, Any]]:
    return {
        chip: {name: value for name, value in row.items() if name not in HOW}
        for chip, row in rows(out).items()
    }


def programs(out: Path) -> dict[str, dict[str, bytes]]:
    """Return every file of every program."""
    return {
        p.name: {f.name: f.read_bytes() for f in sorted(p.iterdir())} for p in out.glob("*.cim")
    }


def stop_after(count: int) -> Any:
    """Interrupt a fleet once some chips are done."""
    seen: list[str] = []

    def told(record: Record | None, standing: Standing) -> None:
        if record is not None:
            seen.append(record.chip)
            if len(seen) == count:
                raise KeyboardInterrupt

    return told


def test_interrupted_and_called_again(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fleet(CHIPS, verify_data=files.data, told=stop_after(3))
    assert len(rows(tmp_path / "out")) == len(programs(tmp_path / "out")) == 3
    assert not list((tmp_path / "out" / ".fleet").glob("staging-*"))
    early = rows(tmp_path / "out")
    report = fleet(verify_data=files.data)
    assert (report.before, report.done) == (3, 8)
    whole = fleet(verify_data=files.data, output=tmp_path / "whole")
    assert whole.before == 0
    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")
    assert programs(tmp_path / "out") == programs(tmp_path / "whole")
    after = rows(tmp_path / "out")
    assert {c: after[c] for c in early} == early  # not touched again
    for name in ("mean", "std", "min", "max", "yields", "worst", "share"):
        assert getattr(report, name) == getattr(whole, name)


def test_what_counts_as_done(fleet: Fleet, tmp_path: Path) -> None:
    fleet(CHIPS)
    out, maps = tmp_path / "out", sorted((tmp_path / "maps").iterdir())
    before, made = rows(out), programs(out)
    shutil.rmtree(out / "c0.cim")  # a row without its program
    (out / "c1.cim" / "SHA256SUMS").write_text("torn")
    base = sqlite3.connect(out / "fleet.sqlite")
    base.execute("DELETE FROM chips WHERE chip = 'c2'")  # a program without its row
    base.commit()
    base.close()
    os.utime(maps[3])  # touched, the same
    save_fault_map(fault_map("c4", 60, seed=9), maps[4])  # changed
    (out / ".fleet" / "staging-1-left").mkdir()  # of a killed run
    done: list[str] = []
    report = fleet(told=lambda record, standing: done.append(record.chip) if record else None)
    assert done == ["c0", "c1", "c2", "c4"]
    assert report.before == 4
    after = programs(out)
    assert after.pop("c4.cim") != made.pop("c4.cim")
    assert after == made
    assert rows(out)["c4"]["faulty_cells"] == 60
    assert rows(out)["c7"] == before["c7"]
    assert not (out / ".fleet" / "staging-1-left").exists()


def test_failed_chips_are_tried_again(fleet: Fleet, tmp_path: Path) -> None:
    torn = tmp_path / "maps" / "zz.safetensors"
    write_maps(tmp_path / "maps", ["a"])
    torn.write_bytes(b"torn")
    assert fleet().failed == 1
    save_fault_map(fault_map("mended", 6), torn)
    report = fleet()
    assert (report.before, report.done, report.failed) == (1, 2, 0)
    assert sorted(rows(tmp_path / "out")) == ["a", "mended"]
    torn.write_bytes(b"torn again")  # the chip is still known, and stays
    assert fleet().failed == 1
    assert sorted(rows(tmp_path / "out")) == ["a", "mended", "zz.safetensors"]


def test_a_chip_that_fails_leaves_no_old_program(fleet: Fleet, tmp_path: Path) -> None:
    fleet(["a", "b"])
    path = sorted((tmp_path / "maps").iterdir())[1]
    path.write_text("torn")
    path.rename(path.with_name("001-b.csv"))  # said to be of chip '001-b'
    (tmp_path / "maps" / "b.csv").write_text("array,row,column,state\n0,0,0,7\n")
    fleet()
    assert rows(tmp_path / "out")["b"]["status"] == "failed"
    assert not (tmp_path / "out" / "b.cim").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"method": "nearest"},
        {"cells": "codebook"},
        {"seed": 1},
        {"skip": ("rows",)},
        {"threads": 2},
        {"keep_programs": "none"},
        {"samples": 5},
        {"mode": "noise-free"},
        {"verify_data": None},
    ],
)
def test_other_settings_are_refused(
    fleet: Fleet, files: Files, tmp_path: Path, options: dict[str, Any]
) -> None:
    fleet(["a"], verify_data=files.data)
    with pytest.raises(CimcError) as caught:
        fleet(**{"verify_data": files.data, **options})
    assert caught.value.code == "CIMC-U77"
    assert "--restart" in caught.value.hint
    assert len(rows(tmp_path / "out")) == 1


def test_settings_that_made_no_chip_bind_nobody(
    fleet: Fleet, files: Files, tmp_path: Path
) -> None:
    write_maps(tmp_path / "maps", ["a"])
    np.savez(tmp_path / "wrong.npz", z=np.zeros((2, 4), np.float32))
    with pytest.raises(CimcError) as caught:
        fleet(verify_data=tmp_path / "wrong.npz")
    assert caught.value.code == "CIMC-M71"
    report = fleet(verify_data=files.data)  # corrected, without --restart
    assert (report.before, report.done, report.metric) == (0, 1, "top1")


def test_another_program_is_refused_unless_started_anew(
    fleet: Fleet, files: Files, tmp_path: Path
) -> None:
    from dataclasses import replace

    from cimc.program import read, write

    fleet(["a", "b"])
    other = tmp_path / "other.cim"
    write(replace(read(files.program), golden=None), other)
    with pytest.raises(CimcError) as caught:
        fleet(program=other)
    assert caught.value.code == "CIMC-U77"
    report = fleet(program=other, restart=True)
    assert (report.before, report.done) == (0, 2)
    assert report.program == str(other)


def test_a_gate_may_change(fleet: Fleet, files: Files) -> None:
    fleet(["a", "b"], verify_data=files.data)
    report = fleet(verify_data=files.data, min_accuracy=1.0, min_yield=0.5)
    assert (report.before, report.min_accuracy, report.min_yield) == (2, 1.0, 0.5)


def test_files_that_are_something_else(fleet: Fleet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "fleet.sqlite").write_text("a diary, and longer than the header of a data base " * 9)
    for restart in (False, True):
        with pytest.raises(CimcError) as caught:
            fleet(["a"], restart=restart)
        assert caught.value.code == "CIMC-U77"
    (out / "fleet.sqlite").unlink()
    base = sqlite3.connect(out / "fleet.sqlite")
    base.execute("CREATE TABLE mine (x)")
    base.commit()
    base.close()
    for restart in (False, True):
        with pytest.raises(CimcError) as caught:
            fleet(["a"], restart=restart)
        assert caught.value.code == "CIMC-U77"


def test_two_at_once(fleet: Fleet, tmp_path: Path) -> None:
    def second(record: Record | None, standing: Standing) -> None:
        with pytest.raises(CimcError) as caught:
            fleet()
        assert caught.value.code == "CIMC-U78"

    report = fleet(["a", "b"], told=second)
    assert (report.done, report.failed) == (2, 0)  # the second one touched nothing


SCRIPT = """
import functools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started without
import cimc.fleets.fleet as module
from cimc.cli import main
from tests.fleets import stand_in
module.fleet = functools.partial(module.fleet, engine=stand_in.engine)
main(sys.argv[1:])
"""


def start(program: Path, maps: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    args = ["fleet", program, "--fault-maps", maps, "-o", out, "--workers", workers]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(out: Path, process: subprocess.Popen[str], chips: int) -> bool:
    """Wait until some chips are done."""
    while process.poll() is None:
        if len(list(out.glob("*.cim"))) >= chips:
            return True
        time.sleep(0.01)
    return False


def kill_until_done(
    fleet: Fleet, files: Files, tmp_path: Path, *, count: int, kills: int, workers: int, seed: int
) -> None:
    """Kill the command at random, several times; compare with a run that was left alone."""
    draw = random.Random(seed)
    maps, out = tmp_path / "maps", tmp_path / "out"
    write_maps(maps, [f"slow {i}" for i in range(count)])
    seen: set[int] = set()
    for i in range(kills):
        process = start(files.program, maps, out, workers)
        if begun(out, process, (i + 1) * count // (kills + 2)):
            time.sleep(draw.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
        process.communicate()
        seen |= {int(r["worker"].split(":")[1]) for r in rows(out).values()}
    process = start(files.program, maps, out, workers)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert len(rows(out)) == count
    assert all(r["status"] == "done" for r in rows(out).values())
    assert not alive(seen)
    fleet(output=tmp_path / "whole")
    assert timeless(out) == timeless(tmp_path / "whole")
    assert programs(out) == programs(tmp_path / "whole")


def alive(processes: set[int]) -> list[int]:
    """Return which are still there, after giving them a moment to notice."""
    for _ in range(50):
        found = [p for p in processes if Path(f"/proc/{p}/cmdline").exists()
                 and b"worker_main" in Path(f"/proc/{p}/cmdline").read_bytes()]  # fmt: skip
        if not found:
            break
        time.sleep(0.1)
    return found


def test_killed(fleet: Fleet, files: Files, tmp_path: Path) -> None:
    kill_until_done(fleet, files, tmp_path, count=6, kills=1, workers=1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_killed_again_and_again(fleet: Fleet, files: Files, tmp_path: Path, seed: int) -> None:
    kill_until_done(fleet, files, tmp_path, count=40, kills=6, workers=2, seed=seed)


@pytest.mark.slow
def test_interrupted_from_the_keyboard(files: Files, tmp_path: Path) -> None:
    maps, out = tmp_path / "maps", tmp_path / "out"
    write_maps(maps, [f"slow {i}" for i in range(30)])
    process = start(files.program, maps, out, 2)
    assert begun(out, process, 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "of 30 chips are done; the same command goes on from there" in said
    assert not list((out / ".fleet").glob("staging-*"))
    assert len(rows(out)) == len(programs(out)) >= 3
    process = start(files.program, maps, out, 2)
    process.communicate()
    assert process.returncode == 0
    assert len(rows(out)) == 30
