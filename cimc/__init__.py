"""A compiler from trained networks to analog compute-in-memory chips.

The verbs of the command line as functions::

    program = cimc.compile("model.onnx", target="rram", data="calibration.npz", output="model.cim")
    report = cimc.verify(program, reference="model.onnx", data="test.npz", chips=50)
    outputs = cimc.run(cimc.load("model.cim"), {"input": x}, mode="chip", seed=7)

Nothing heavy is imported before a verb is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cimc.version import __version__

if TYPE_CHECKING:
    from cimc.faults import FaultMap, load_fault_map
    from cimc.fleets.fleet import fleet
    from cimc.pipeline.api import compile, load, recompile, run, sensitivity, verify

__all__ = [
    "FaultMap",
    "__version__",
    "compile",
    "fleet",
    "load",
    "load_fault_map",
    "recompile",
    "run",
    "sensitivity",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in ("compile", "load", "recompile", "run", "sensitivity", "verify"):
        from cimc.pipeline import api

        return getattr(api, name)
    if name in ("FaultMap", "load_fault_map"):
        from cimc import faults

        return getattr(faults, name)
    if name == "fleet":
        from cimc.fleets.fleet import fleet

        return fleet
    raise AttributeError(f"module 'cimc' has no attribute {name!r}")
