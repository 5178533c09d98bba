"""Offset, gain and noise of converters, and Johnson noise, against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cimc.device.johnson import johnson_variance_us
from cimc.executor import Executor
from cimc.executor.circuit import circuit_of
from cimc.executor.crossbars import Crossbars, wafer_of
from cimc.executor.mismatch import mismatch_of
from cimc.executor.physics import physics_of
from cimc.executor.prepare import Crossbar, read_of
from cimc.executor.workspace import Workspace
from cimc.ir.geometry import Geometry
from cimc.program.model import DeviceProgram
from tests.executor import circuit_oracle as oracle
from tests.executor.programs import one_layer, quarters, target
from tests.executor.test_circuits import (
    SIGNED,
    WEIGHTS,
    assert_same,
    codes_of,
    device_of,
    planes_of,
    program_of,
    ranges,
)

ERRORS = {"adc.offset_lsb": 0.7, "adc.gain_sigma": 0.05, "adc.bits": 6}


def wide(weights: str, columns: int, rows: int = 6, **changes: Any) -> DeviceProgram:
    """Return a layer of several row tiles, column tiles of 8 columns, converter errors."""
    device = device_of(weights, **ERRORS, **changes)
    return program_of(
        "matmul", quarters((rows, columns), 1), Geometry("matrix", 1, rows, columns), weights,
        device, SIGNED, ["n", rows], adc_bits=6, i_max_us=ranges(weights, 2, 1, 24.0),
        rows=4, columns=8,
    )  # fmt: skip


def errors(program: DeviceProgram, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Gains and offsets of the converters of each row tile, lane and column."""
    physics = physics_of(program, "chip")
    layer = program.layers["w"]
    found = mismatch_of(layer, circuit_of(physics), physics, seed, torch.device("cpu"))
    return found.gain.numpy(), found.offset.numpy()


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("drive", ["parallel", "bit-serial"])
def test_errors_are_where_the_formula_has_them(weights: str, drive: str) -> None:
    program = wide(weights, 12, drive=drive)
    device = physics_of(program, "chip").target
    gains, offsets = errors(program)
    x = np.random.default_rng(3).normal(0, 1.2, (5, 6)).astype(np.float32)
    effects = frozenset({"dac", "adc", "adc-offset", "adc-gain"})
    y = Executor(program, "chip", 3, effects=effects).run({"x": x}).outputs["y"]
    codes, unit = codes_of(x, SIGNED)
    expected = [
        oracle.multiply(
            c,
            program.layers["w"],
            planes_of(program),
            device,
            gain_errors=gains,
            offsets=offsets,
        )
        for c in codes
    ]
    assert_same(y, np.stack(expected) * unit)


def converters(weights: str, share: int) -> np.ndarray:
    """Return the number of the converter of every row tile, lane and column, by its offset."""
    program = wide(weights, 12, **{"adc.columns_per_adc": share})
    _, offsets = errors(program)
    return np.unique(offsets, return_inverse=True)[1].reshape(offsets.shape)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("share", [1, 3])
def test_neighbours_share_a_converter(weights: str, share: int) -> None:
    """Tiles start at bit line 2 of an array each (programs.py), 8 columns wide and 4."""
    lanes = {"after-adc": 2, "digital": 3}.get(weights, 1)
    lines = {"differential-pair": 2, "after-adc": 2, "digital": 3, "conductance": 3}.get(
        weights, 1
    )
    together = 1 if lanes > 1 else lines
    wanted = {}
    for tile in range(2):
        for lane in range(lanes):
            for column in range(12):
                array = tile * 2 + column // 8
                bit_line = 2 + column % 8 * lines + (lane if lanes > 1 else 0)
                wanted[tile, lane, column] = (array, bit_line // together // share)
    found = converters(weights, share)
    same_found = {k: found[k] for k in wanted}
    pairs = {(wanted[k], same_found[k]) for k in wanted}
    assert len(pairs) == len(set(wanted.values())) == len(set(same_found.values()))


def test_errors_have_their_spread_and_belong_to_the_chip() -> None:
    """2,000 converters: a deviation is known to 1.6 %; 8 % is 5 standard errors."""
    program = wide("differential-pair", 1000, **{"array.columns": 2100})
    gains, offsets = errors(program)
    assert np.std(offsets) == pytest.approx(0.7, rel=0.08)
    assert np.std(gains) == pytest.approx(0.05, rel=0.08)
    assert abs(np.corrcoef(gains.ravel(), offsets.ravel())[0, 1]) < 0.11
    again, other = errors(program), errors(program, seed=4)
    assert np.array_equal(again[0], gains)
    assert not np.array_equal(other[0], gains)


READS = 4000


def measured(program: DeviceProgram, x: np.ndarray, *effects: str) -> np.ndarray:
    """One read a sample, ``(READS, columns)``, with some non-idealities."""
    executor = Executor(program, "chip", 1, effects=frozenset(effects))
    return executor.run({"x": np.repeat(x, READS, 0)}).outputs["y"].astype(np.float64)


@pytest.mark.parametrize("drive", ["parallel", "bit-serial"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_noise_of_conversions(weights: str, drive: str) -> None:
    """Variances of all conversions add up with the squares of their digital weights.

    Rounding adds 1/12 LSB^2 to the 4 LSB^2 of noise.  With 4,000 reads a deviation is known to
    1.1 %; 6 % is more than 5 standard errors.
    """
    device = device_of(weights, drive, **{"adc.bits": 9, "adc.noise_lsb": 2.0})
    full = ranges(weights, 2, 4, 400.0)
    program = program_of(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), weights, device, SIGNED,
        ["n", 9], adc_bits=9, i_max_us=full, rows=5,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, 9)).astype(np.float32)
    y = measured(program, x, "dac", "adc", "adc-noise")

    layer = program.layers["w"]
    largest = oracle.full_drive(device, 5, True)
    pulses = oracle.pulses(1, device, 5, True)
    lsb = full.double().numpy() * largest / 255
    factors = np.stack(oracle.factors(layer, device, 0))
    variance = (4.0 + 1 / 12) * (lsb**2 * factors**2).sum((0, 1)) * sum(w**2 for _, w in pulses)
    gain = oracle.of_group(layer.cells.gain, layer, 0)
    expected = gain * np.sqrt(variance) * 2.0 / 15
    np.testing.assert_allclose(y.std(0), expected, rtol=0.06)


def test_noise_is_smoothed_away_by_repeated_conversions() -> None:
    """Noise comes before rounding: a quarter of an LSB can be seen in the mean of reads."""
    device = target(**{"adc.noise_lsb": 0.5, "adc.bits": 8})
    program = one_layer(
        "matmul", torch.tensor([[1.0]]), Geometry("matrix", 1, 1, 1), ["n", 1],
        dac=SIGNED, adc_bits=8, i_max_us=16.0 * 127 / 40.25, device=device,
    )  # fmt: skip
    y = measured(program, np.full((1, 1), 2.0, np.float32), "dac", "adc", "adc-noise")
    code = y.mean() / 2.0 * 40.25
    # Deviation of the mean of 4,000: 0.0091 LSB; dither of half an LSB leaves 0.0022 at most.
    assert code == pytest.approx(40.25, abs=0.05)


HOT = {"noise.thermal": {"temperature": "400 K", "reference": "400 K", "bandwidth": "100 GHz"}}


@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize("drive", ["parallel", "bit-serial"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_johnson_noise(weights: str, drive: str, converted: bool) -> None:
    """``4 k T B G`` of all cells of the tile's word lines on the bit lines, in every pulse.

    With 4,000 reads a deviation is known to 1.1 %; 6 % is more than 5 standard errors.
    """
    device = device_of(weights, drive, **HOT)
    program = program_of(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), weights, device, SIGNED,
        ["n", 9], rows=5, columns=3,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, 9)).astype(np.float32)
    y = measured(program, x, *(["dac"] if converted else []), "johnson")

    layer = program.layers["w"]
    per_us = johnson_variance_us(400.0, 1e11, device.read.v_read_v)
    assert per_us * 18 * 9 > 0.01  # large enough to be seen in float32
    planes = [p.numpy().astype(np.float64)[0] for p in layer.cells.planes]
    if weights == "offset-column":
        planes[1] = planes[1][:, [0, 0, 0, 1]]
    factors = np.stack(oracle.factors(layer, device, 0))
    factors = np.broadcast_to(factors, (len(planes), 4)) if len(factors) == 1 else factors
    total = sum(f**2 * p.sum(0) for f, p in zip(factors, planes, strict=True))
    unit, largest, pulses = np.abs(x).max(), 1, [(1, 1)]
    if converted:
        unit, largest = 2.0 / 15, oracle.full_drive(device, 5, True)
        pulses = oracle.pulses(1, device, 5, True)
    else:
        unit = 2.0
    variance = per_us * largest**2 * total * sum(w**2 for _, w in pulses)
    gain = oracle.of_group(layer.cells.gain, layer, 0)
    np.testing.assert_allclose(y.std(0), gain * np.sqrt(variance) * unit, rtol=0.06)
    correlation = np.corrcoef(y.T)
    if weights == "offset-column":
        shared = planes[1].sum(0)[0] / np.sqrt(total[0] * total[1])
        assert correlation[0, 1] == pytest.approx(shared, abs=0.07)
    assert correlation[0, 3] == pytest.approx(0.0, abs=0.08)


def test_johnson_noise_does_not_depend_on_the_input() -> None:
    device = target(**HOT)
    program = one_layer(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), ["n", 9], dac=SIGNED,
        device=device,
    )  # fmt: skip
    quiet = measured(program, np.zeros((1, 9), np.float32), "dac", "johnson")
    loud = measured(program, np.full((1, 9), 2.0, np.float32), "dac", "johnson")
    np.testing.assert_allclose(quiet.std(0), loud.std(0), rtol=0.08)


def test_everything_random_adds_up_in_one_draw() -> None:
    """Read noise, Johnson noise and noise of conversions are independent."""
    changes = {**HOT, "noise.read": {"sigma_relative": 0.1}}
    device = target(**{**changes, "adc.noise_lsb": 3.0, "adc.bits": 9})
    program = one_layer(
        "matmul", quarters((9, 4), 1), Geometry("matrix", 1, 9, 4), ["n", 9], dac=SIGNED,
        adc_bits=9, i_max_us=400.0, device=device,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(1, 9)).astype(np.float32)
    parts = [
        measured(program, x, "dac", "adc", effect).var(0)
        for effect in ("read", "johnson", "adc-noise")
    ]
    together = measured(program, x, "dac", "adc", "read", "johnson", "adc-noise").var(0)
    # Variances are known to 2.2 %; rounding is counted thrice on the left, 1/12 LSB^2 each.
    np.testing.assert_allclose(sum(parts), together, rtol=0.12)


def test_every_group_has_converters_of_its_own() -> None:
    """Here every tile has an array of its own."""
    device = device_of("differential-pair", **ERRORS)
    program = program_of(
        "conv", quarters((6, 2, 3, 2), 2), Geometry("conv", 2, 12, 3, (3, 2)),
        "differential-pair", device, SIGNED, ["n", 4, 4, 4], adc_bits=6, rows=8,
        attributes={"group": 2},
    )  # fmt: skip
    gains, offsets = errors(program)
    assert offsets.shape == (2, 1, 6)
    assert len(np.unique(offsets)) == len(np.unique(gains)) == 12
    assert np.all(offsets != 0)


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("drive", ["parallel", "bit-serial"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_matrix_of_a_recurrent_layer(weights: str, drive: str, group: int) -> None:
    """Ranges, errors, multipliers, corrections and gains of its own columns."""
    device = device_of(weights, drive, "shift", **ERRORS)
    program = program_of(
        "rnn", quarters((2, 5, 9), 1), Geometry("recurrent", 2, 9, 5), weights, device, SIGNED,
        ["t", "n", 9], adc_bits=6, i_max_us=ranges(weights, 2, 10, 24.0), rows=5, columns=3,
        per_column=weights != "offset-column",
    )  # fmt: skip
    physics = physics_of(program, "chip", frozenset({"dac", "adc", "adc-offset", "adc-gain"}))
    layer, circuit = program.layers["w"], circuit_of(physics)
    cpu = torch.device("cpu")
    seen = Crossbars(wafer_of(program, physics, cpu), 3).matrices("w")
    tiles = [(int(a), int(b)) for a, b in layer.row_tiles]
    mismatch = mismatch_of(layer, circuit, physics, 3, cpu)
    use = layer.uses[0]
    whole = Crossbar(layer.geometry, tiles, seen, mismatch, use.dac, use.adc)
    read = read_of(whole.matrix(group), circuit, {}, None, Workspace())
    x = np.random.default_rng(3).normal(0, 1.2, (4, 9)).astype(np.float32)
    y = read(torch.from_numpy(x)).numpy()

    codes, unit = codes_of(x, SIGNED)
    gains, offsets = errors(program)
    expected = [
        oracle.multiply(
            c, layer, planes_of(program), device, group, gain_errors=gains, offsets=offsets
        )
        for c in codes
    ]
    assert_same(y, np.stack(expected) * unit)
