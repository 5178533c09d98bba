"""Chips made for training are those the executor runs: known faults, end states and maps too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.physics import physics_of
from cimc.program.model import FaultRecord
from cimc.training.chip_reads import ChipMaker
from tests.executor.test_maps import permuted
from tests.executor.test_packing import GROUPS, device, grouped, samples
from tests.program.factories import with_gains


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_a_chip_reads_as_the_executor_does(encoding: str) -> None:
    machine = device(encoding=encoding, noise__programming={"sigma": "0.2 uS"})
    program = permuted(grouped(machine, GROUPS, encoding))
    rng = np.random.default_rng(0)
    place = np.sort(rng.choice(2 * 24 * 20, 100, replace=False))
    array, rest = np.divmod(place, 24 * 20)
    cells = np.stack([array, rest // 20, rest % 20, rng.integers(1, 3, 100)], 1).astype(np.int32)
    program = replace(program, faults=FaultRecord("a", cells, np.zeros(100, np.float32)))
    program = with_gains(program, [1])
    physics = physics_of(program, "chip")
    maker = ChipMaker.of(program, physics, torch.device("cpu"))
    layer = program.layers["w"]
    settings = {(use.operation, use.operand): (use.dac, use.adc) for use in layer.uses}
    x = samples(3)
    for seed in (0, 5):
        chip = maker.chip({"w": layer.cells}, settings, seed)
        y = chip.operations["read"](torch.from_numpy(x), None)
        expected = Executor(program, seed=seed).run({"x": x}).outputs["y"]
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert len(maker.known) == 1
    assert maker.known[0].stuck
    assert maker.known[0].gains is not None
    healthy = Executor(replace(program, faults=None), seed=5).run({"x": x}).outputs["y"]
    assert abs(healthy - expected).max() > 0.1 * abs(expected).max()
