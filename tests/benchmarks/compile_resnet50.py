"""ResNet-50 (25.5 M random weights) to a device program for ``rram``, without data."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.harness import Result, child, cimc
from tests.zoo import light

SECONDS, MEBIBYTES = 20.0, 2048.0


def measure() -> Result:
    """Return the time of the command, reading and writing included [s]; it must fit in 2 GiB."""
    model = light.model("resnet50")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "resnet50.cim"
        command = cimc("compile", str(model), "--target", "rram", "-o", str(program))
        done = child(command)
        size = sum(file.stat().st_size for file in program.iterdir())
    config = {
        "model": "resnet50, 25.5 M weights",
        "target": "rram",
        "cpu_seconds": done.cpu_seconds,
        "peak_rss_mib": done.peak_rss_mib,
        "peak_rss_bar_mib": MEBIBYTES,
        "program_mib": size / 2**20,
    }
    fits = done.peak_rss_mib <= MEBIBYTES
    return Result("compile-resnet50", done.seconds, "s", SECONDS, config, also=fits)
