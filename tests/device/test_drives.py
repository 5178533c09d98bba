"""Phases of a read: their weighted sum is the code, and every pulse is one the drive can make."""

from __future__ import annotations

import itertools

import pytest
import torch

from cimc.device.converters import largest_code
from cimc.device.drives import phases, pulses

DRIVES = ("parallel", "pulse-width", "bit-serial")
SIGNED_INPUTS = ("bipolar", "two-phase", "shift")
CASES = list(itertools.product(DRIVES, SIGNED_INPUTS, (2, 3, 8, 16), (True, False)))


def every_code(bits: int, signed: bool) -> torch.Tensor:
    q = largest_code(bits, signed=signed)
    return torch.arange(-q if signed else 0, q + 1, dtype=torch.float32)


@pytest.mark.parametrize(("drive", "signed_inputs", "bits", "signed"), CASES)
def test_weighted_phases_are_the_shifted_code(drive, signed_inputs, bits, signed) -> None:
    codes = every_code(bits, signed)
    how = pulses(drive, signed_inputs, bits, signed=signed)
    parts = phases(codes, how)
    assert parts.shape == (len(how.weights), *codes.shape)
    total = sum(w * part for w, part in zip(how.weights, parts.double(), strict=True))
    assert torch.equal(total, codes.double() + how.shift)


@pytest.mark.parametrize(("drive", "signed_inputs", "bits", "signed"), CASES)
def test_every_pulse_is_in_range(drive, signed_inputs, bits, signed) -> None:
    how = pulses(drive, signed_inputs, bits, signed=signed)
    parts = phases(every_code(bits, signed), how)
    assert parts.abs().max() == how.largest
    assert (parts.min() < 0) == how.signed == (signed and signed_inputs == "bipolar")
    if drive == "bit-serial":
        assert set(parts.unique().tolist()) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("signed_inputs", SIGNED_INPUTS)
def test_numbers_of_phases(signed_inputs) -> None:
    """8-bit inputs: 7 magnitude bits, twice when split; 8 bits shifted or never negative."""
    wanted = {"bipolar": 7, "two-phase": 14, "shift": 8}[signed_inputs]
    assert len(pulses("bit-serial", signed_inputs, 8, signed=True).weights) == wanted
    assert len(pulses("bit-serial", signed_inputs, 8, signed=False).weights) == 8
    assert pulses("parallel", signed_inputs, 8, signed=False).plain


@pytest.mark.parametrize("signed_inputs", SIGNED_INPUTS)
def test_any_range_of_phases(signed_inputs) -> None:
    codes, how = every_code(8, True), pulses("bit-serial", signed_inputs, 8, signed=True)
    everything = phases(codes, how)
    for first, last in itertools.combinations(range(len(how.weights) + 1), 2):
        assert torch.equal(phases(codes, how, first, last), everything[first:last])


@pytest.mark.parametrize("signed_inputs", SIGNED_INPUTS)
def test_exact_inputs_have_no_bits(signed_inputs) -> None:
    x = torch.linspace(-1, 1, 101)
    how = pulses("bit-serial", signed_inputs, None, signed=True)
    parts = phases(x, how)
    total = sum(w * part for w, part in zip(how.weights, parts, strict=True)) - how.shift
    torch.testing.assert_close(total, x, rtol=0, atol=1e-6)
