"""The differentiable read against the executor's: the same numbers for the same chip."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from cimc.ir.layer import Dac
from cimc.program.model import DeviceProgram
from cimc.training.differentiable import read_of
from tests.executor.test_circuits import DRIVES, SIGNED_INPUTS
from tests.executor.test_recurrent import GATES, inputs
from tests.executor.test_recurrent import program as recurrent_program
from tests.training.chips import KINDS_AND_WEIGHTS, UNSIGNED, case, run

EVERYTHING: dict[str, Any] = {
    "noise.programming": {"sigma": "0.25 uS"},
    "noise.read": {
        "sigma_relative": 0.02,
        "telegraph": {"amplitude": 0.1, "cells": 0.5},
        "one_over_f": {"amplitude": 0.01, "exponent": 0.5, "limit": 0.2, "t_read": "250 ns"},
    },
    "noise.thermal": {"temperature": "350 K", "tc_lrs_per_k": -1e-3, "bandwidth": "1 GHz"},
    "cell.nonlinearity": {"sinh": "0.15 V"},
    "adc.offset_lsb": 0.4,
    "adc.gain_sigma": 0.02,
    "adc.noise_lsb": 0.3,
    "lines": {"open_bit_line": 0.1, "open_word_line": 0.1},
}


def everything(drive: str) -> dict[str, Any]:
    """All of it; where pulses all have full height there is no curve."""
    return EVERYTHING if drive == "parallel" else {**EVERYTHING, "cell.nonlinearity": None}


def both(program: DeviceProgram, x: torch.Tensor, **options: Any) -> tuple[torch.Tensor, ...]:
    """The executor's output, and that of the differentiable read with everything learned."""
    expected = run(program, x.clone(), **options)
    planes = {
        name: [p.clone().requires_grad_() for p in layer.cells.planes]
        for name, layer in program.layers.items()
    }
    learned = run(program, x.clone().requires_grad_(), planes=planes, reader=read_of, **options)
    return expected, learned


def assert_same(expected: torch.Tensor, learned: torch.Tensor) -> None:
    """Up to the last bit of a sum: one current in a hundred may fall on the boundary of a code."""
    assert learned.requires_grad
    assert learned.shape == expected.shape
    away = (learned.detach() - expected).abs() > 1e-6 * expected.abs().max()
    assert int(away.sum()) <= expected.numel() // 100


@pytest.mark.parametrize(("drive", "signed"), list(itertools.product(DRIVES, SIGNED_INPUTS)))
@pytest.mark.parametrize(("kind", "weights"), KINDS_AND_WEIGHTS)
def test_a_noisy_chip(kind: str, weights: str, drive: str, signed: str) -> None:
    one = case(kind, weights, drive, signed, **everything(drive))
    assert_same(*both(one.program, one.x, at_s=3600.0))


@pytest.mark.parametrize("dac", [UNSIGNED, Dac(5, True, "dynamic"), Dac()])
@pytest.mark.parametrize("adc", [None, 7])
@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("kind", ["matrix", "conv", "groups"])
def test_other_converters(kind: str, drive: str, adc: int | None, dac: Dac) -> None:
    one = case(
        kind, "differential-pair", drive, "two-phase", dac=dac, adc=adc, **everything(drive)
    )
    assert_same(*both(one.program, one.x))


@pytest.mark.parametrize("compensation", ["global", "per-column"])
def test_compensated_drift_behind_wires(compensation: str) -> None:
    drift = {"nu": 0.05, "nu_sigma": 0.02, "compensation": compensation}
    more = {
        "noise.drift": drift,
        "wires": {"word_line": "5 ohm", "bit_line": "5 ohm", "driver": "100 ohm"},
        "array": {"rows": 16, "columns": 32},
        "cell.nonlinearity": None,
    }
    one = case("matrix", "differential-pair", **{**EVERYTHING, **more})
    assert_same(*both(one.program, one.x, at_s=1e5))


@pytest.mark.parametrize("op", GATES)
def test_recurrent(op: str) -> None:
    program = recurrent_program(op, bits=7, read=0.05)
    assert_same(*both(program, torch.from_numpy(inputs())))
