"""What recompiling for one chip costs: seconds and memory, by weights and by faults.

Every figure is of one command line in a process of its own, reading and writing included.
"""

from __future__ import annotations

import datetime
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import cimc
from cimc.errors import ProgramError
from cimc.faults import sample, save_fault_map
from tests.benchmarks import harness, recompile_networks
from tests.fault_tables.jobs import FOLDER
from tests.fault_tables.networks import RESNET8
from tests.fault_tables.networks import load as load_network
from tests.fault_tables.pages import write_page
from tests.job_store import store
from tests.job_store.pages import Part, commit

VERSION: Final = 1
RATES: Final = (0.01, 0.05, 0.1, 0.2)
METHODS: Final = ("nearest", "feedback")
#: Rate at which networks are compared, and network at which rates are.
RATE: Final = 0.05
NETWORK: Final = "resnet20"
PROGRAMS: Final = FOLDER.parent / "large"


@dataclass(frozen=True, slots=True)
class Job:
    """One chip of one network.

    Attributes:
        network: Name.
        rate: Share of cells that are stuck [-].
        method: Of recompiling.
        seed: Of the map.
    """

    network: str
    rate: float
    method: str
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of all that the result depends on."""
        return store.key_of(self, VERSION)

    def __str__(self) -> str:
        """Return what a progress line says."""
        return f"growth: {self.network} {self.rate:.0%} {self.method}"


def _small(name: str) -> Path:
    path = PROGRAMS / f"{name}.cim"
    try:
        cimc.load(path)
    except ProgramError:
        network = load_network(name)
        data: Any = network.calibration
        cimc.compile(network.model, target="rram", levels=8, data=data, output=path)
    return path


#: By name, from small to large: what is said of them, and their programs.
NETWORKS: Final[dict[str, tuple[str, Callable[[], Path]]]] = {
    RESNET8: ("ResNet-8, 28 x 28", lambda: _small(RESNET8)),
    "resnet20": ("ResNet-20, 28 x 28", lambda: _small("resnet20")),
    "resnet18": ("ResNet-18, 224 x 224", lambda: recompile_networks.program("resnet18")),
    "resnet50": ("ResNet-50, 224 x 224", lambda: recompile_networks.program("resnet50")),
}


def recompiled(path: Path, rate: float, method: str, seed: int) -> dict[str, Any]:
    """Return what one command line took.

    Args:
        path: Of the program.
        rate: Share of cells that are stuck [-].
        method: Of recompiling.
        seed: Of the map.
    """
    program = cimc.load(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = folder / "faults.safetensors"
        save_fault_map(sample(program, rate=rate, seed=seed), faults)
        command = harness.cimc(
            "recompile", str(path), "--fault-map", str(faults), "--method", method,
            "-o", str(folder / "out.cim"), "--json",
        )  # fmt: skip
        done = harness.child(command)
    told = json.loads(done.stdout)
    return {
        "seconds": done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "peak_rss_mib": done.peak_rss_mib,
        "inside_seconds": told["seconds"],
        "output_error_before": told["output_error_before"],
        "output_error_after": told["output_error_after"],
        "faulty_cells": told["faulty_cells"],
        "weights": sum(layer.cells.planes[0].numel() for layer in program.layers.values()),
        "arrays": program.arrays,
    }


def run(job: Job) -> store.Row:
    """Return the result of a job."""
    found = recompiled(NETWORKS[job.network][1](), job.rate, job.method, job.seed)
    ended = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    return {**found, "commit": commit(), "ended": ended}


def jobs() -> list[Job]:
    """Return all: networks, then rates."""
    found = [Job(network, RATE, method) for network in NETWORKS for method in METHODS]
    found += [Job(NETWORK, rate, method) for rate in RATES for method in METHODS]
    return list({job.key: job for job in found}.values())


def told(row: store.Row) -> str:
    """Return what a progress line says of a result."""
    return f"{row['seconds']:.1f} s, {row['peak_rss_mib']:.0f} MiB"


def counted(kept: store.Store[Any]) -> str:
    """Return a sentence on how many of the jobs are there, and when they were."""
    there = [row for job in jobs() if (row := kept.get(job)) is not None]
    commits = sorted({row["commit"] for row in there})
    return f"{len(there)} of {len(jobs())} commands are there, run at {', '.join(commits)}."


def _row(said: str, rows: list[store.Row | None]) -> list[str]:
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return [said, *["missing"] * 6]
    cells = [said, f"{known['weights']:,}", f"{known['faulty_cells']:,}"]
    for row in rows:
        cells += ["missing"] * 2 if row is None else [
            f"{row['seconds']:.1f} ({row['cpu_seconds']:.1f})", f"{row['peak_rss_mib']:,.0f}",
        ]  # fmt: skip
    return cells


def _exponent(x: list[float], y: list[float]) -> str:
    """Return the power by which y grows with x."""
    if len(x) < 2:
        return "missing"
    slope = np.polyfit([math.log(v) for v in x], [math.log(v) for v in y], 1)[0]
    return f"{slope:.2f}"


TEXT: Final = (
    "`cimc recompile PROGRAM --fault-map F --method M -o OUT --json` in a process of its own, two "
    "threads, on a machine that other work shared: seconds of the whole command, reading, "
    "writing and importing torch (3 s) included, and in brackets those of the processor, which "
    "other work leaves alone; memory: its peak resident set [MiB]. Target `rram`, 8 levels a "
    "column; stuck cells half at G_min, half at G_max. Large networks have random weights and "
    "{images} calibration images, the small ones are trained and keep 128."
)


def write(kept: store.Store[Any]) -> None:
    """Write the page."""
    kept = store.Store[Any](FOLDER)
    header = ["", "weights", "faulty cells"]
    for method in METHODS:
        header += [f"{method} [s]", f"{method} [MiB]"]
    sizes = [
        _row(said, [kept.get(Job(name, RATE, method)) for method in METHODS])
        for name, (said, _) in NETWORKS.items()
    ]
    rates = [
        _row(f"{rate:.0%}", [kept.get(Job(NETWORK, rate, method)) for method in METHODS])
        for rate in RATES
    ]
    powers = []
    for method in METHODS:
        there = [r for n in NETWORKS if (r := kept.get(Job(n, RATE, method))) is not None]
        by = _exponent([r["weights"] for r in there], [r["cpu_seconds"] for r in there])
        powers.append(f"{method}: processor seconds as weights to the power {by}")
    text = f"{TEXT.format(images=recompile_networks.IMAGES)} {counted(kept)}"
    parts = [
        Part("Weights", f"{RATE:.0%} of cells stuck. {'; '.join(powers)}.", header, sizes),
        Part("Faults", f"{NETWORKS[NETWORK][0]}.", header, rates),
    ]
    write_page(
        "faults-cost", "Faults: what recompiling costs", "growth", text, parts, reading=False
    )
