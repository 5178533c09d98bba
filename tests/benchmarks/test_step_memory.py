"""Memory of a step: against steps whose memory is known."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from tests.benchmarks.step_memory import here

MIB = 1 << 20

pytestmark = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK) or sys.platform != "linux",
    reason="the largest resident set cannot be reset here",
)


def test_the_peak_is_what_is_held_at_once() -> None:
    def step() -> None:
        first = torch.ones(16 * MIB)  # 64 MiB
        second = torch.ones(12 * MIB)
        del first, second
        torch.ones(20 * MIB)

    seen = here(step)
    assert seen.tensor_peak - seen.kept == pytest.approx(112, abs=0.1)
    assert seen.peak - seen.kept == pytest.approx(112, abs=4)
    assert 64 < seen.average - seen.kept < 112


def test_memory_that_is_no_tensor_counts() -> None:
    def step() -> None:
        torch.ones(1 * MIB)
        assert len(bytes(bytearray(64 * MIB))) == 64 * MIB

    seen = here(step)
    assert seen.tensor_peak - seen.kept == pytest.approx(4, abs=0.1)
    assert seen.peak - seen.kept == pytest.approx(128, abs=4)


def test_what_stays_between_steps_is_kept() -> None:
    before = here(lambda: torch.ones(1 * MIB)).kept
    held = torch.ones(8 * MIB)
    view = held[1:]
    assert here(lambda: torch.ones(1 * MIB)).kept - before == pytest.approx(32, abs=0.1)
    assert len(view) + 1 == len(held)
