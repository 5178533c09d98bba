"""The fault maps of the tables."""

from __future__ import annotations

from cimc.faults import Clusters, FaultMap, sample
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.fault_tables.jobs import Faults


def fault_map(program: DeviceProgram, faults: Faults, seed: int) -> FaultMap:
    """Return the map of one chip: the same whatever program it is for."""
    target = Target.from_plain(program.target)
    spare = target.chip.spare_arrays > 0
    return sample(
        target if spare else program,
        rate=faults.rate,
        lrs_share=faults.lrs_share,
        clusters=Clusters(share=faults.clustered) if faults.clustered else None,
        sigma_lrs=faults.sigma_lrs,
        sigma_hrs=faults.sigma_hrs,
        seed=seed,
    )
