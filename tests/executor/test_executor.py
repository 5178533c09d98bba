"""Modes, chips, batches and taps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cimc.errors import ModelError, UsageError
from cimc.executor import Executor
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Adc, Dac
from cimc.ir.network import Signal
from cimc.program.model import DeviceProgram, Operation, ProgramUse
from tests.executor.programs import layer, one_layer, quarters, target

PROGRAMMING = {"noise.programming": {"sigma": "0.226 uS"}}
READ = {"noise.read": {"sigma_relative": 0.05}}


def small_network(changes: dict | None = None, *, dac: Dac | None = None) -> DeviceProgram:
    """conv - relu - conv + skip - relu - mean - linear, 8-bit converters, several tiles."""
    first, second, last = quarters((6, 3, 3, 3), 1), quarters((6, 6, 3, 3), 2), quarters((4, 6), 3)
    shapes = {
        "c1": (first, Geometry("conv", 1, 27, 6, (3, 3))),
        "c2": (second, Geometry("conv", 1, 54, 6, (3, 3))),
        "fc": (last, Geometry("matrix", 1, 6, 4, transposed=True)),
    }
    layers = {}
    for name, (weight, geometry) in shapes.items():
        tiles = len(layer(weight, geometry, (), rows=30).row_tiles)
        static = Dac(8, name == "c1", "static", 4.0 if name == "c1" else 8.0)
        use = ProgramUse(name, 1, dac or static, Adc(8, torch.full((tiles, 1, 1), 80.0)))
        layers[name] = layer(weight, geometry, (use,), rows=30, columns=4, name=name)
    conv = {"pads": [1, 1, 1, 1], "strides": [1, 1]}
    operations = (
        Operation("c1", "conv", ("%x", "#c1", "@b"), conv, ("c1",)),
        Operation("r1", "relu", ("%c1",), {}, ("r1",)),
        Operation("c2", "conv", ("%r1", "#c2", "@b"), conv, ("c2",)),
        Operation("add", "add", ("%c2", "%r1"), {}, ("add",)),
        Operation("r2", "relu", ("%add",), {}, ("r2",)),
        Operation("gap", "global_average_pool", ("%r2",), {}, ("gap",)),
        Operation("flat", "flatten", ("%gap",), {"axis": 1}, ("flat",)),
        Operation("fc", "gemm", ("%flat", "#fc"), {"transB": 1}, ("fc",)),
    )
    return DeviceProgram(
        inputs=(Signal("x", "float32", ("n", 3, 6, 5)),),
        outputs=(Signal("y", "float32", ("n", 4)), Signal("inner", "float32", ("n", 6, 6, 5))),
        results=("%fc", "%r2"),
        operations=operations,
        constants={"b": torch.linspace(-0.3, 0.3, 6)},
        layers=layers,
        target=target(**(changes or {})).plain(),
        arrays=8,
        provenance={},
    )


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 3, 6, 5)).astype(np.float32)


def float_network(x: np.ndarray) -> np.ndarray:
    b = torch.linspace(-0.3, 0.3, 6)
    r1 = F.relu(F.conv2d(torch.from_numpy(x), quarters((6, 3, 3, 3), 1), b, padding=1))
    r2 = F.relu(F.conv2d(r1, quarters((6, 6, 3, 3), 2), b, padding=1) + r1)
    return F.linear(r2.mean((2, 3)), quarters((4, 6), 3)).numpy()


def test_converters_added_to_an_exact_run() -> None:
    program = small_network()
    inputs = {"x": np.random.default_rng(0).standard_normal((3, 3, 6, 5)).astype(np.float32)}
    exact = Executor(program, "ideal")
    before = exact.run(inputs).outputs
    found, wanted = exact.noise_free(), Executor(program, "noise-free")
    assert found.mode == "noise-free"
    for one, other in (
        (found.run(inputs, taps=True), wanted.run(inputs, taps=True)),
        (found.chip(3).run(inputs), wanted.chip(3).run(inputs)),
    ):
        for name in ("outputs", "layers"):
            assert getattr(one, name).keys() == getattr(other, name).keys()
            for key, value in getattr(one, name).items():
                np.testing.assert_array_equal(value, getattr(other, name)[key])
    for key, value in exact.run(inputs).outputs.items():
        np.testing.assert_array_equal(value, before[key])
        assert not np.array_equal(value, found.run(inputs).outputs[key])


def test_ideal_is_the_float_network() -> None:
    x = images(4)
    y = Executor(small_network(PROGRAMMING), "ideal").run({"x": x}).outputs["y"]
    np.testing.assert_allclose(y, float_network(x), rtol=1e-5, atol=1e-5)


def test_noise_free_is_near_ideal_and_the_same_on_every_chip() -> None:
    x, program = images(4), small_network(PROGRAMMING)
    ideal = Executor(program, "ideal").run({"x": x}).outputs["y"]
    first = Executor(program, "noise-free", seed=1).run({"x": x}).outputs["y"]
    assert 0 < np.abs(first - ideal).max() < 0.1 * np.abs(ideal).max()
    other = Executor(program, "noise-free", seed=2).run({"x": x}).outputs["y"]
    np.testing.assert_array_equal(first, other)


def test_a_chip_is_its_seed() -> None:
    x, program = images(4), small_network({**PROGRAMMING, "stuck": {"at_g_min": 0.01}})
    one = Executor(program, "chip", seed=1)
    y = one.run({"x": x}).outputs["y"]
    np.testing.assert_array_equal(one.run({"x": x}).outputs["y"], y)
    two = one.chip(2)
    assert np.abs(two.run({"x": x}).outputs["y"] - y).max() > 0
    np.testing.assert_array_equal(two.chip(1).run({"x": x}).outputs["y"], y)
    np.testing.assert_array_equal(Executor(program, "chip", seed=1).run({"x": x}).outputs["y"], y)


def test_a_layers_draws_do_not_depend_on_the_other_layers() -> None:
    program = small_network(PROGRAMMING)
    backwards = replace(program, layers=dict(reversed(program.layers.items())))
    x = images(2)
    np.testing.assert_array_equal(
        Executor(program).run({"x": x}).outputs["y"],
        Executor(backwards).run({"x": x}).outputs["y"],
    )


@pytest.mark.parametrize("dac", [None, Dac(8, True, "dynamic")])
@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_batches_change_nothing(batch: int, dac: Dac | None) -> None:
    """Sums may be taken in another order: a code at a boundary may differ, a rare one step."""
    x, program = images(7), small_network(PROGRAMMING, dac=dac)
    seen = []
    whole = Executor(program).run({"x": x}, taps=True)
    split = Executor(program, batch=batch).run({"x": x}, True, lambda *p: seen.append(p))
    assert seen[-1] == (7, 7)
    for name, value in whole.outputs.items():
        np.testing.assert_allclose(split.outputs[name], value, atol=2e-2 * np.abs(value).max())
    assert whole.layers.keys() == split.layers.keys() == {"c1", "c2", "fc"}
    assert split.layers["c2"].shape == (7, 6, 6, 5)


def test_taps_are_the_results_before_they_are_overwritten() -> None:
    x, program = images(2), small_network()
    taps = Executor(program, "noise-free").run({"x": x}, taps=True).layers
    assert taps["c2"].min() < 0
    np.testing.assert_array_equal(
        taps["fc"], Executor(program, "noise-free").run({"x": x}).outputs["y"]
    )
    assert not Executor(program, "noise-free").run({"x": x}).layers


def test_results_are_the_users_own() -> None:
    """Writing into a result harms neither the program nor later runs."""
    flat = Operation("flat", "flatten", ("%x",), {"axis": 1}, ("flat",))
    program = replace(small_network(), operations=(flat,), results=("@b", "%flat"))
    executor, x = Executor(program, "noise-free"), images(2)
    result = executor.run({"x": x}).outputs
    for value in result.values():
        value.fill(7.0)
    assert float(program.constants["b"].max()) == pytest.approx(0.3)
    assert x.max() < 7
    assert executor.run({"x": x}).outputs["y"].max() == pytest.approx(0.3)


def test_read_noise_is_new_in_every_run_and_repeatable() -> None:
    x, program = images(2), small_network(READ)
    chip = Executor(program)
    first, second = (chip.run({"x": x}).outputs["y"] for _ in range(2))
    assert np.abs(first - second).max() > 0
    again = Executor(program)
    np.testing.assert_array_equal(again.run({"x": x}).outputs["y"], first)
    np.testing.assert_array_equal(again.run({"x": x}).outputs["y"], second)
    quiet = Executor(program, "noise-free").run({"x": x}).outputs["y"]
    assert np.abs(first - quiet).max() < np.abs(quiet).max()


def test_samples_that_are_not_independent_are_not_split() -> None:
    program = replace(small_network(), batched=False)
    assert Executor(program, batch=2).run({"x": images(2)}).outputs["y"].shape == (2, 4)
    with pytest.raises(ModelError, match="not independent") as caught:
        Executor(program, batch=2).run({"x": images(5)})
    assert caught.value.code == "CIMC-M85"


def test_wrong_settings() -> None:
    with pytest.raises(UsageError, match="'exact'") as caught:
        Executor(small_network(), "exact")
    assert caught.value.code == "CIMC-U45"
    with pytest.raises(UsageError, match="batch of 0") as caught:
        Executor(small_network(), batch=0)
    assert caught.value.code == "CIMC-U46"


def test_a_signed_weight_is_the_plain_operator() -> None:
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    program = one_layer("matmul", weight, Geometry("matrix", 1, 8, 5), ["n", 8], encoding="signed")
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    for mode in ("ideal", "noise-free", "chip"):
        y = Executor(program, mode).run({"x": x}).outputs["y"]
        np.testing.assert_allclose(y, x @ weight.numpy(), rtol=1e-5, atol=1e-6)


def test_a_large_signed_weight_is_not_copied() -> None:
    """Weights of several GB must not be held twice."""
    matrix = torch.zeros(1, 8192, 8448)
    program = one_layer(
        "matmul", matrix[0], Geometry("matrix", 1, 8192, 8448), ["n", 8192], encoding="signed"
    )
    held = program.layers["w"].cells.planes[0].untyped_storage().data_ptr()
    executor = Executor(program, "ideal")
    assert executor._given["#w"].untyped_storage().data_ptr() == held


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_chip_on_a_gpu() -> None:
    x, program = images(4), small_network(PROGRAMMING)
    cpu = Executor(program, seed=3).run({"x": x}).outputs["y"]
    gpu = Executor(program, seed=3, device="cuda").run({"x": x}).outputs["y"]
    np.testing.assert_allclose(gpu, cpu, atol=2e-2 * np.abs(cpu).max())
