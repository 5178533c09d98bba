"""Recurrent operators with their gate matrices on crossbars."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac
from cimc.ir.network import Signal
from cimc.ops.table import OPERATORS
from cimc.program.model import DeviceProgram, Operation, ProgramUse
from tests.executor.programs import layer, quarters, target

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
INPUT, HIDDEN = 5, 4


def program(op: str, *, bits: int | None, read: float = 0.0) -> DeviceProgram:
    """A bidirectional layer; row tiles of 3."""
    shapes = {"w": INPUT, "r": HIDDEN}
    layers = {}
    for position, (name, rows) in enumerate(shapes.items(), start=1):
        columns = GATES[op] * HIDDEN
        geometry = Geometry("recurrent", 2, rows, columns)
        weight = quarters((2, columns, rows), position)
        adc = Adc() if bits is None else Adc(bits, torch.full((2, 1, 1), 40.0))
        dac = Dac() if bits is None else Dac(bits, True, "dynamic")
        use = ProgramUse("rec", position, dac, adc)
        layers[name] = layer(weight, geometry, (use,), rows=3, columns=5, name=name)
    device = target(**{"noise.read": {"sigma_relative": read} if read else None})
    attributes = {"hidden_size": HIDDEN, "direction": "bidirectional"}
    return DeviceProgram(
        inputs=(Signal("x", "float32", ("t", "n", INPUT)),),
        outputs=(Signal("y", "float32", None), Signal("last", "float32", None)),
        results=("%y", "%last"),
        operations=(Operation("rec", op, ("%x", "#w", "#r", "@b"), attributes, ("y", "last")),),
        constants={"b": torch.linspace(-1, 1, 4 * GATES[op] * HIDDEN).reshape(2, -1)},
        layers=layers,
        target=device.plain(),
        arrays=4,
        provenance={},
    )


def inputs(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 3, INPUT)).astype(np.float32)


def plain(op: str, x: np.ndarray) -> list[np.ndarray]:
    columns = GATES[op] * HIDDEN
    results = OPERATORS[op].function(
        torch.from_numpy(x),
        quarters((2, columns, INPUT), 1),
        quarters((2, columns, HIDDEN), 2),
        torch.linspace(-1, 1, 4 * columns).reshape(2, -1),
        hidden_size=HIDDEN,
        direction="bidirectional",
    )
    return [r.numpy() for r in results[:2]]


@pytest.mark.parametrize("op", GATES)
def test_ideal_is_the_operator(op: str) -> None:
    x = inputs()
    result = Executor(program(op, bits=None), "ideal").run({"x": x}, taps=True)
    y, last = plain(op, x)
    np.testing.assert_allclose(result.outputs["y"], y, atol=1e-5)
    np.testing.assert_allclose(result.outputs["last"], last, atol=1e-5)
    np.testing.assert_array_equal(result.layers["rec"], result.outputs["y"])


@pytest.mark.parametrize("op", GATES)
def test_fine_converters_come_near_and_coarse_ones_do_not(op: str) -> None:
    x = inputs()
    y, _ = plain(op, x)
    error = {
        bits: np.abs(
            Executor(program(op, bits=bits), "noise-free").run({"x": x}).outputs["y"] - y
        ).max()
        for bits in (14, 4)
    }
    assert error[14] < 0.01 < error[4]


def test_each_vector_has_its_own_range() -> None:
    """So a sequence gives the same result alone and beside louder ones."""
    x = inputs()
    x[:, 1] *= 30
    executor = Executor(program("lstm", bits=8), "noise-free")
    together = executor.run({"x": x}).outputs["y"]
    alone = executor.run({"x": np.ascontiguousarray(x[:, :1])}).outputs["y"]
    np.testing.assert_allclose(together[:, :, :1], alone, atol=1e-5)


def test_read_noise_reaches_every_step() -> None:
    x = np.zeros((4, 1, INPUT), dtype=np.float32)
    noisy = Executor(program("rnn", bits=10, read=0.2))
    first, second = (noisy.run({"x": x}).outputs["y"] for _ in range(2))
    assert (first != second).any(axis=(1, 2, 3))[1:].all()
