"""One target with every non-ideality on, each of a size that published devices have."""

from __future__ import annotations

from typing import Any, Final

from cimc.targets import Target, load_target

#: What is added to ``rram``; wires apart.
CHANGES: Final[dict[str, Any]] = {
    "cell.nonlinearity": {"sinh": "0.5 V"},
    "read.at": "1 d",
    "adc.offset_lsb": 0.3,
    "adc.gain_sigma": 0.005,
    "adc.noise_lsb": 0.3,
    "noise.device_to_device": {"sigma_lrs": 0.02, "sigma_hrs": 0.05},
    "noise.correlated": {"sigma_relative": 0.005, "wafer_sigma_relative": 0.005},
    "noise.read": {
        "sigma_relative": 0.005,
        "one_over_f": {"amplitude": 0.003},
        "telegraph": {"amplitude": 0.03, "cells": 0.1},
    },
    "noise.thermal": {
        "temperature": "330 K",
        "tc_lrs_per_k": -0.0005,
        "ea_hrs": "0.02 eV",
        "bandwidth": "10 MHz",
    },
    "noise.drift": {"nu": 0.005, "nu_sigma": 0.002, "compensation": "global"},
    "noise.relaxation": {"rate": 0.002, "sigma_relative": 0.002},
    "stuck": {"at_g_min": 0.0005, "at_g_max": 0.0002},
    "lines": {"open_word_line": 0.0002, "open_bit_line": 0.0002},
}
#: Segments of 256 x 256 arrays; driver and sense amplifier.
WIRES: Final[dict[str, str]] = {
    "word_line": "0.5 ohm", "bit_line": "0.5 ohm", "driver": "100 ohm", "sense": "100 ohm",
}  # fmt: skip


def everything(*, wires: bool) -> Target:
    """Return ``rram`` with everything on.

    Args:
        wires: With wire resistance, and then without an I-V curve: a target has one of the two.
    """
    if not wires:
        return load_target("rram").changed(CHANGES)
    linear = {path: value for path, value in CHANGES.items() if path != "cell.nonlinearity"}
    return load_target("rram").changed({**linear, "wires": WIRES})
