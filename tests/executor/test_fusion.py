"""Shortcuts change no result: the program runs as if every operation ran on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cimc.executor import Executor, fusion, steps
from cimc.program.model import DeviceProgram, Operation
from tests.executor.test_executor import images, small_network


def without_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "without_idle_relus", lambda program: program.operations)
    monkeypatch.setattr(fusion, "in_place", lambda *_: {})


@pytest.mark.parametrize("mode", ["ideal", "noise-free", "chip"])
def test_same_results(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, program = images(3), small_network()
    fast = Executor(program, mode).run({"x": x}, taps=True)
    without_shortcuts(monkeypatch)
    plain = Executor(program, mode).run({"x": x}, taps=True)
    for name, value in plain.outputs.items():
        np.testing.assert_array_equal(fast.outputs[name], value)
    for name, value in plain.layers.items():
        np.testing.assert_array_equal(fast.layers[name], value)


def chain(*operations: Operation, results: tuple[str, ...]) -> DeviceProgram:
    program = small_network()
    return replace(
        program, operations=operations, results=results, outputs=program.outputs[: len(results)]
    )


C1 = Operation("c1", "conv", ("%x", "#c1", "@b"), {"pads": [1, 1, 1, 1]}, ("c1",))
R1 = Operation("r1", "relu", ("%c1",), {}, ("r1",))
C2 = Operation("c2", "conv", ("%r1", "#c2", "@b"), {"pads": [1, 1, 1, 1]}, ("c2",))


def names(program: DeviceProgram) -> list[str]:
    return [o.name for o in fusion.without_idle_relus(program)]


def test_a_relu_before_an_unsigned_converter_is_idle() -> None:
    assert names(chain(C1, R1, C2, results=("%c2",))) == ["c1", "c2"]


def test_a_relu_someone_else_reads_is_not() -> None:
    assert "r1" in names(small_network())
    assert "r1" in names(chain(C1, R1, C2, results=("%c2", "%r1")))


def test_a_relu_before_a_signed_or_dynamic_converter_is_not() -> None:
    r0 = Operation("r0", "relu", ("%x",), {}, ("r0",))
    c1 = replace(C1, inputs=("%r0", "#c1", "@b"))
    assert "r0" in names(chain(r0, c1, results=("%c1",)))


def replaced(program: DeviceProgram) -> set[str]:
    frees = steps._last_uses(program.operations, program.results)
    return set(fusion.in_place(program, program.operations, frees))


def test_what_dies_is_overwritten() -> None:
    assert replaced(small_network()) == {"r1", "add", "r2"}


def test_results_inputs_and_views_are_not() -> None:
    assert replaced(chain(C1, R1, results=("%c1", "%r1"))) == set()
    view = Operation("view", "flatten", ("%c1",), {"axis": 1}, ("view",))
    assert replaced(chain(C1, view, R1, results=("%r1", "%view"))) == set()
    of_input = Operation("r", "relu", ("%x",), {}, ("r",))
    assert replaced(chain(of_input, results=("%r",))) == set()


def test_a_sum_that_broadcasts_is_not_overwritten() -> None:
    mean = Operation("mean", "global_average_pool", ("%c1",), {}, ("mean",))
    total = Operation("add", "add", ("%c1", "%mean"), {}, ("add",))
    swapped = Operation("add", "add", ("%mean", "%c1"), {}, ("add",))
    x = images(2)
    results = [
        Executor(chain(C1, mean, o, results=("%add",)), "noise-free").run({"x": x}).outputs["y"]
        for o in (total, swapped)
    ]
    np.testing.assert_array_equal(*results)
    c1 = Executor(chain(C1, results=("%c1",)), "noise-free").run({"x": x}).outputs["y"]
    np.testing.assert_allclose(
        results[0], c1 + c1.mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-5
    )
