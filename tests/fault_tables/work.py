"""One chip from beginning to end, as a user would do it."""

from __future__ import annotations

import datetime
import math
import resource
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import cimc
from cimc.errors import ProgramError
from cimc.executor import Executor
from cimc.program.model import DeviceProgram
from cimc.targets import Target, load_target
from tests.fault_tables import networks
from tests.fault_tables.jobs import Base, Job, Mode, Row
from tests.fault_tables.maps import fault_map
from tests.fault_tables.networks import Tested, first
from tests.job_store.pages import commit
from tests.zoo.cache import CACHE

PROGRAMS: Final = CACHE / "faults" / "programs"


#: Programs a worker holds; jobs of one program follow each other.
_HELD: Final[OrderedDict[str, DeviceProgram]] = OrderedDict()
_MOST: Final = 3


def base_program(base: Base) -> DeviceProgram:
    """Return a compiled program; made once, kept on disk and, for a while, in memory."""
    if base.key not in _HELD:
        _HELD[base.key] = _base_program(base)
        if len(_HELD) > _MOST:
            _HELD.popitem(last=False)
    return _HELD[base.key]


def _base_program(base: Base) -> DeviceProgram:
    path = PROGRAMS / f"{base.key}.cim"
    if path.is_dir():
        try:
            return cimc.load(path)
        except ProgramError:
            pass  # of another version of the format
    network = networks.load(base.network)
    target = load_target(base.target).changed(base.changes)
    given: dict[str, Any] = {"data": network.calibration, "seed": base.seed, **base.options}
    if base.training is not None:
        given["training"] = {**base.training, "seed": base.seed}
        given["train_data"] = first(network.train(), base.samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    return cimc.compile(network.model, target=target, output=path, **given)


def for_chip(job: Job, program: DeviceProgram) -> tuple[DeviceProgram, Mapping[str, Any]]:
    """Return the program for the chip of a job, and what recompiling reports."""
    faults = fault_map(program, job.faults, job.seed)
    if job.method == "ignore":
        return replace(program, faults=faults.record()), {}
    from cimc.pipeline.recompile import recompile
    from cimc.remap.settings import RemapSettings

    given: dict[str, Any] = {}
    if job.training is not None:
        given["training"] = {**job.training, "seed": job.seed}
        given["train_data"] = first(networks.load(job.base.network).train(), job.samples)
    settings = RemapSettings(method=job.method, **job.settings)
    result = recompile(program, faults, method=job.method, settings=settings, **given)
    found = dict(result.report.to_json())
    found.pop("program", None)
    return result.program, found


def executor(program: DeviceProgram, mode: Mode, job: Job, network: Tested) -> Executor:
    """Return the chip of a job in a mode."""
    if mode != "inputs":
        return Executor(program, mode, seed=job.seed, batch=network.batch)
    # Without ADCs inputs in one pulse are the same as bit by bit, and faster.
    target = Target.from_plain(program.target).changed({"read.drive": "parallel"})
    made = replace(program, target=target.plain())
    return Executor(made, "chip", seed=job.seed, batch=network.batch, effects={"dac"})


def score(chip: Executor, network: Tested) -> float:
    """Return the network's metric on its test data."""
    found = network.score(chip.run(network.test).outputs)
    if not math.isfinite(found):
        raise ValueError(f"the score of {network.name} is {found}")
    return found


def run(job: Job) -> Row:
    """Return the result of a job: its scores by mode, what recompiling reports, what it took."""
    network = networks.load(job.base.network)
    program = base_program(job.base)
    began = time.perf_counter()
    made, report = for_chip(job, program)
    compiled = time.perf_counter()
    scores = {mode: score(executor(made, mode, job, network), network) for mode in job.modes}
    ended = time.perf_counter()
    return {
        "scores": scores,
        "report": report,
        "seconds": {"recompile": compiled - began, "evaluate": ended - compiled},
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "commit": commit(),
        "ended": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
    }
