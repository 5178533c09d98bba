"""Random chips: every description that loads is compiled and run, all effects and drives mixed.

What a target may say has more combinations than any list of tests; so they are drawn.  A
combination that loads must run, whatever it is; without noise it must stay near the ideal chip,
and with every effect switched off it must be the ideal chip, bit by bit.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import cimc
from cimc.executor import Executor
from cimc.targets import Target, list_targets, load_target
from tests.end_to_end.build import model, node, normal
from tests.targets.factories import changed, plain
from tests.zoo.task import Array

NETWORK = model(
    [
        node("Conv", ["x", "w1", "b1"], "h", pads=[1, 1, 1, 1]),
        node("Relu", ["h"], "r"),
        node("Flatten", ["r"], "f"),
        node("Gemm", ["f", "w2", "b2"], "y"),
    ],
    {"x": ["n", 3, 6, 6]},
    ["y"],
    {
        "w1": normal(8, 3, 3, 3, seed=1) * 0.3,
        "b1": normal(8, seed=2),
        "w2": normal(288, 10, seed=3) * 0.1,
        "b2": normal(10, seed=4),
    },
)
INPUTS = normal(16, 3, 6, 6, seed=5)
CALIBRATION = normal(64, 3, 6, 6, seed=6)

#: What each setting may be; several settings are then made to agree with each other.
CHOICES: dict[str, list[object]] = {
    "array.rows": [64, 128, 27, None],
    "array.columns": [64, 32, None],
    "cell.nonlinearity": [None, None, {"sinh": "0.6 V"}, {"polynomial": [0.95, 0.0, 0.05]}],
    "read.at": ["0 s", "1 d"],
    "read.dac_bits": [None, 8, 6],
    "read.signed_inputs": ["bipolar", "two-phase", "shift"],
    "adc.bits": [None, 8],
    "adc.range": ["per-row-tile", "per-layer", "per-column", "full-scale"],
    "adc.columns_per_adc": [1, 4],
    "adc.offset_lsb": [0.0, 0.3],
    "adc.gain_sigma": [0.0, 0.01],
    "adc.noise_lsb": [0.0, 0.3],
    "noise.programming": [
        None,
        {"sigma": "0.2 uS"},
        {"sigma_log": 0.03},
        {"polynomial": [0.005, 0.02]},
        {"sigma_relative": 0.01, "verify": {"tolerance": "0.3 uS", "iterations": 5}},
    ],
    "noise.device_to_device": [
        None,
        {"sigma_lrs": 0.02, "sigma_hrs": 0.05},
        {"sigma_lrs": 0.02, "distribution": "lognormal"},
    ],
    "noise.correlated": [None, {"sigma_relative": 0.01}, {"wafer_sigma_relative": 0.01}],
    "noise.read": [
        None,
        {"sigma_relative": 0.01},
        {"one_over_f": {"amplitude": 0.003, "exponent": 0.5}},
        {"sigma_relative": 0.01, "telegraph": {"amplitude": 0.02, "cells": 0.3}},
    ],
    "noise.thermal": [
        None,
        {"temperature": "310 K", "ea_hrs": "0.05 eV", "tc_lrs_per_k": -0.001},
        {"bandwidth": "1 MHz"},
    ],
    "noise.drift": [
        None,
        {"nu": 0.01},
        {"nu": 0.01, "nu_sigma": 0.002, "compensation": "global"},
        {"nu": 0.02, "nu_slope": -0.005, "compensation": "per-column"},
    ],
    "noise.relaxation": [None, {"rate": 0.01, "sigma_relative": 0.005}],
    "stuck": [None, {"at_g_min": 0.002}],
    "lines": [None, {"open_bit_line": 0.002}],
    "wires": [{}, {}, {"word_line": "1 ohm", "bit_line": "1 ohm"}, {"driver": "50 ohm"}],
}
PAIRS: dict[str, list[object]] = {
    "pair.placement": ["adjacent-columns", "twin-arrays"],
    "pair.subtraction": ["before-adc", "after-adc"],
}
SLICES: dict[str, list[object]] = {
    "slices.count": [2, 4],
    "slices.multipliers": ["digital", "conductance"],
}


def description(seed: int) -> dict[str, Any]:
    """Return a random description that obeys the rules between settings."""
    rng = random.Random(seed)
    encoding = rng.choice(["differential-pair", "offset-column", "bit-sliced"])
    drive = rng.choice(["parallel", "bit-serial", "pulse-width"])
    more = {"differential-pair": PAIRS, "bit-sliced": SLICES}.get(encoding, {})
    chosen = {path: rng.choice(values) for path, values in (CHOICES | more).items()}
    if None in (chosen["array.rows"], chosen["array.columns"]):
        chosen |= {"wires": {}, "lines": None, "noise.correlated": None}
    if chosen["wires"] or drive != "parallel":
        chosen["cell.nonlinearity"] = None
    if drive != "parallel" or chosen["read.signed_inputs"] == "shift":
        chosen["read.dac_bits"] = chosen["read.dac_bits"] or 8
    if chosen["adc.bits"] is None:
        chosen |= {"adc.offset_lsb": 0.0, "adc.gain_sigma": 0.0, "adc.noise_lsb": 0.0}
    if chosen["adc.range"] == "per-column":
        chosen["adc.columns_per_adc"] = 1
    chosen |= _states(encoding, chosen, rng)
    return changed(plain(encoding, drive), chosen)


def _states(encoding: str, chosen: dict[str, Any], rng: random.Random) -> dict[str, object]:
    """Return the states of a cell, analog or listed, and as many levels as they express."""
    listed = rng.random() < 0.3
    if encoding == "bit-sliced":
        levels = {"cell.default_levels": 2 ** chosen["slices.count"]}
        binary = listed and chosen["slices.multipliers"] == "digital"
        return levels | ({"cell.states": ["1 uS", "20 uS"]} if binary else {})
    if not listed:
        return {}
    states = [f"{state} uS" for state in (1, 4, 9, 14, 20)]
    return {"cell.states": states, "cell.default_levels": 5}


def outputs(program: cimc.DeviceProgram, mode: str, **options: Any) -> Array:
    """Return the outputs of one chip."""
    executor = Executor(program, mode=mode, seed=1, **options)  # type: ignore[arg-type]
    return executor.run({"x": INPUTS}).outputs["y"]


def error(got: Array, expected: Array) -> float:
    """Return the root mean square difference relative to the spread of what is expected."""
    return float(np.sqrt(np.mean((got - expected) ** 2)) / expected.std())


def check(target: Target, data: dict[str, Array] | None) -> None:
    """Compile for a chip and run it in every mode."""
    program = cimc.compile(NETWORK, target=target, data=data)
    ideal = outputs(program, "ideal")
    # Ranges of converters that are guessed from the weights clip more.
    assert error(outputs(program, "noise-free"), ideal) < (0.2 if data else 0.4)
    chip = outputs(program, "chip")
    assert np.isfinite(chip).all()
    assert np.array_equal(outputs(program, "chip", effects=frozenset()), ideal)
    assert np.array_equal(outputs(program, "chip"), chip)


def check_random(seed: int) -> None:
    """Check a random chip, with calibration data or without."""
    check(Target.from_plain(description(seed)), None if seed % 2 else {"x": CALIBRATION})


@pytest.mark.parametrize("seed", range(8))
def test_random_chips(seed: int) -> None:
    check_random(seed)


@pytest.mark.parametrize("name", list_targets())
def test_shipped_targets(name: str) -> None:
    check(load_target(name), {"x": CALIBRATION})


@pytest.mark.slow
@pytest.mark.parametrize("first", range(8, 168, 20))
def test_many_random_chips(first: int) -> None:
    for seed in range(first, first + 20):
        check_random(seed)
