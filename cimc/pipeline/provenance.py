"""Where a device program came from: everything that is needed to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cimc.ir.network import Network
from cimc.passbase import Pass
from cimc.targets import Target
from cimc.verification.data import Data
from cimc.version import __version__


def provenance(
    network: Network,
    target: Target,
    passes: Sequence[Pass],
    seed: int,
    calibration: Data | None,
    training: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the provenance of a program as plain data.

    Args:
        network: Its source is named by digest.
        target: What was compiled for.
        passes: With their options.
        seed: Of the compilation.
        calibration: Data it was calibrated on.
        training: See :func:`cimc.pipeline.training_run.provenance`; None: it was not trained, and
            nothing is said of it.
    """
    made: dict[str, Any] = {
        "cimc": __version__,
        "model": {
            "kind": network.source.kind,
            "name": Path(network.source.path).name,
            "sha256": network.source.sha256,
        },
        "target": {"name": target.name},
        "fault_map": None,
        "seed": seed,
        "calibration_samples": None if calibration is None else calibration.samples,
        "pipeline": [
            {"pass": p.name, "options": {k: _plain(v) for k, v in asdict(p).items()}}
            for p in passes
        ],
    }
    if training is not None:
        made["training"] = training
    return made


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
