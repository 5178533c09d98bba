"""ResNet-18 (11.7 M weights, 224 x 224) recompiled for one chip, from the program alone."""

from __future__ import annotations

import os

from tests.benchmarks import recompile_networks
from tests.benchmarks.harness import Result
from tests.fault_tables.growth import recompiled

NEAREST_BAR, FEEDBACK_BAR = 5.0, 60.0
RATE, SEED = 0.05, 0


def measure() -> Result:
    """Return the time of the command with error feedback [s]; nearest has a bar of its own."""
    path = recompile_networks.program("resnet18")
    nearest = recompiled(path, RATE, "nearest", SEED)
    feedback = recompiled(path, RATE, "feedback", SEED)
    config = {
        "model": "resnet18, 224 x 224, random weights",
        "weights": feedback["weights"],
        "arrays": feedback["arrays"],
        "target": "rram",
        "levels": 8,
        "cells_stuck": RATE,
        "calibration_images": recompile_networks.IMAGES,
        "load_average": os.getloadavg()[0],
        "nearest_seconds": nearest["seconds"],
        "nearest_bar": NEAREST_BAR,
    }
    for name, found in (("nearest", nearest), ("feedback", feedback)):
        config[f"{name}_inside_seconds"] = found["inside_seconds"]
        config[f"{name}_cpu_seconds"] = found["cpu_seconds"]
        config[f"{name}_peak_rss_mib"] = found["peak_rss_mib"]
        config[f"{name}_output_error"] = found["output_error_after"]
    fits = nearest["seconds"] <= NEAREST_BAR
    return Result("recompile", feedback["seconds"], "s", FEEDBACK_BAR, config, also=fits)
