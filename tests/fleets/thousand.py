"""A thousand chips of the demo network, killed twice: ``python -m tests.fleets.thousand WORK``.

Three fleets of the same fault maps: one killed twice at random and called again, one left alone,
one through a Dask scheduler on this machine.  Each goes on where an earlier call of this script
stopped.  ``--write`` makes ``docs/results/fleet.md`` when all three are done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import cimc
from cimc.faults import save_fault_map
from cimc.faults.sampling import sample
from tests.zoo import digits
from tests.zoo.cache import ROOT
from tests.zoo.results import write_table

#: Largest share of faulty cells; chips are spread evenly from 0.
MOST = 0.2
SAMPLES = 1000
STEPS = ("killed", "alone", "dask")


def prepare(work: Path, chips: int) -> None:
    """Compile the program, draw the maps, cut the samples."""
    program = work / "demo.cim"
    if not program.exists():
        cimc.compile(
            str(digits.cache.model("mnist-conv.onnx")),
            target="rram",
            data=digits.calibration(),
            levels=8,
            output=str(program),
        )
        images, labels = digits.digits()
        part = {digits.INPUT: images[:SAMPLES], "labels": labels[:SAMPLES]}
        np.savez(work / "test.npz", **part)  # type: ignore[arg-type]
    maps = work / "maps"
    maps.mkdir(exist_ok=True)
    loaded = cimc.load(program)
    for i in range(chips):
        path = maps / f"{i:04}.safetensors"
        if not path.exists():
            rate = MOST * i / max(1, chips - 1)
            save_fault_map(sample(loaded, rate=rate, seed=i, chip=f"chip-{i:04}"), path)


def start(work: Path, name: str, *more: str) -> subprocess.Popen[str]:
    """Start ``cimc fleet`` in a process of its own."""
    args = ["fleet", work / "demo.cim", "--fault-maps", work / "maps", "-o", work / name]
    args += ["--verify-data", work / "test.npz", "--min-yield", "0", "--json", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "cimc", *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def rows(out: Path) -> list[dict[str, Any]]:
    """Return the results of a fleet, by chip."""
    path = out / "fleet.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)) as base:
        base.row_factory = sqlite3.Row
        try:
            return [dict(r) for r in base.execute("SELECT * FROM chips ORDER BY chip")]
        except sqlite3.OperationalError:  # not made yet
            return []


def state(work: Path, name: str) -> dict[str, Any]:
    """Return what this script noted of a step."""
    path = work / f"{name}.json"
    found: dict[str, Any] = {"seconds": 0.0, "kills": []}
    return json.loads(path.read_text()) if path.exists() else found


def run(work: Path, name: str, chips: int, kills: Sequence[int], *more: str) -> None:
    """Run a fleet to its end; kill it whenever so many chips are done."""
    said = state(work, name)
    while len(rows(work / name)) < chips:
        at = kills[len(said["kills"])] if len(said["kills"]) < len(kills) else None
        began, killed = time.monotonic(), False
        process = start(work, name, *more)
        while process.poll() is None:
            time.sleep(0.02)
            if at is not None and len(rows(work / name)) >= at:
                process.send_signal(signal.SIGKILL)
                said["kills"].append(at)
                killed = True
                break
        process.communicate()
        if process.returncode and not killed:
            sys.exit(f"{name}: exit code {process.returncode}")
        said["seconds"] += time.monotonic() - began
        (work / f"{name}.json").write_text(json.dumps(said))


def run_dask(work: Path, chips: int) -> None:
    """The same through a scheduler with two workers of one thread."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        run(work, "dask", chips, (), "--scheduler", cluster.scheduler_address)


def differences(work: Path, name: str) -> int:
    """Return how many chips differ from those of the fleet that was left alone."""
    names = ("chip", "status", "program_sha256", "accuracy", "output_error_after")
    one, other = ([{n: r[n] for n in names} for r in rows(work / x)] for x in ("alone", name))
    if len(one) != len(other):
        return max(len(one), len(other))
    return sum(
        a != b or not same_files(work / "alone", work / name, a["chip"])
        for a, b in zip(one, other, strict=True)
    )


def same_files(one: Path, other: Path, chip: str) -> bool:
    """Whether a program is the same, byte for byte."""
    files = sorted((one / f"{chip}.cim").iterdir())
    there = [other / f"{chip}.cim" / f.name for f in files]
    return all(a.read_bytes() == b.read_bytes() for a, b in zip(files, there, strict=True))


def write(work: Path, chips: int) -> None:
    """Write the page and the picture."""
    table = []
    for name in STEPS:
        found, said = rows(work / name), state(work, name)
        done = sum(r["status"] == "done" for r in found)
        chip = [r["seconds"] for r in found]
        memory = [r["pss_mib"] or 0.0 for r in found]
        peak = [r["peak_rss_mib"] or 0.0 for r in found]
        kills = ", ".join(f"after {k}" for k in said["kills"]) or "never"
        row = [name, kills, f"{len(found):,}", f"{done:,}", str(differences(work, name))]
        row += [f"{np.median(chip):.2f}", f"{said['seconds']:.0f}"]
        table.append([*row, f"{max(peak):.0f}", f"{np.median(memory):.0f}"])
    shutil.copy(work / "alone" / "yield.svg", ROOT / "docs" / "pictures" / "fleet-yield.svg")
    title = f"A fleet of {chips:,} chips"
    command = f"python -m tests.fleets.thousand WORK --chips {chips} --write"
    header = ["fleet", "killed (-9)", "rows", "programs", "differ from *alone*"]
    header += [
        "a chip, median [s]",
        "in all [s]",
        "peak of a worker [MiB]",
        "its share (PSS) [MiB]",
    ]
    write_table("fleet", title, command, header, table, note(work, chips))


def note(work: Path, chips: int) -> str:
    """Return what a reader has to know."""
    found = rows(work / "alone")
    facts = [
        "The demo network (mnist-conv, 5,960 weights) on target `rram`, 8 levels.",
        f"{chips:,} chips with 0 to {100 * MOST:.0f} % of their cells stuck, half at G_min, half",
        "at G_max; two workers of one thread; method `feedback`, no training. Every program is",
        f"run on {SAMPLES:,} digits in ideal mode. *killed* was killed, and the same",
        "command called again; *dask* went through a scheduler with two workers on the same",
        "machine. PSS counts a page that several processes share in parts. Times are of a machine",
        "that had other work.",
    ]
    accuracy = np.array([r["accuracy"] for r in found])
    rate = np.array([r["fault_rate"] for r in found])
    facts.append("")
    for low in (0.0, 0.05, 0.1, 0.15):
        high = low + 0.05 if low + 0.06 < MOST else 1.0  # what was drawn may be a little more
        part = accuracy[(rate >= low) & (rate < high)]
        if part.size:
            facts += [
                f"* {100 * low:.0f} to {100 * low + 5:.0f} % stuck: mean top-1 "
                f"{100 * part.mean():.2f} %, worst of {part.size} chips {100 * part.min():.2f} %",
            ]
    return "\n".join(facts) + "\n\n![Yield](../pictures/fleet-yield.svg)"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--chips", type=int, default=1000)
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    work: Path = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    prepare(work, given.chips)
    draw = random.Random(given.seed)
    kills = sorted(draw.sample(range(given.chips // 10, given.chips * 9 // 10), 2))
    for step in STEPS if given.only is None else (given.only,):
        if step == "dask":
            run_dask(work, given.chips)
        else:
            run(work, step, given.chips, kills if step == "killed" else (), "--workers", "2")
        sys.stdout.write(f"{step}: {len(rows(work / step))} rows, {state(work, step)}\n")
    ready = all(len(rows(work / step)) == given.chips for step in STEPS)
    if ready:
        wrong = {step: differences(work, step) for step in STEPS}
        sys.stdout.write(f"chips that differ: {wrong}\n")
        if given.write:
            write(work, given.chips)
        sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
