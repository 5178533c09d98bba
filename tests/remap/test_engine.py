"""The walk, and the pieces it is made of, against small cases worked out otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from cimc.executor import Executor
from cimc.faults import AT_G_MAX, FaultMap, sample
from cimc.ir import rewrite
from cimc.ir.channel_constants import channel_means
from cimc.ir.interpreter import interpret
from cimc.ir.layer import Codebook
from cimc.lowering.emit import emit
from cimc.lowering.lift import lift
from cimc.pipeline import compile_model
from cimc.program import read
from cimc.program.model import DeviceProgram
from cimc.remap.bias import channel_constant
from cimc.remap.fit import Wanted, best_gain
from cimc.remap.ignored import real_us
from cimc.remap.options_types import CellFaults
from cimc.remap.remap import remap
from cimc.remap.report import LayerReport, total_error
from cimc.remap.settings import RemapSettings
from cimc.remap.tally import half_step
from cimc.targets import Target, load_target
from cimc.verification.data import Data
from tests.passes.networks import model, rng


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> DeviceProgram:
    """Two convolutions, one without a bias, one matrix without any, on one array."""
    r = rng(4)

    def normal(*shape: int) -> np.ndarray:
        return (r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "w3"], ["y"]),
    ]
    constants = {"w1": normal(8, 2, 3, 3), "b1": normal(8), "w2": normal(8, 8, 3, 3),
                 "w3": normal(8, 4)}  # fmt: skip
    folder = tmp_path_factory.mktemp("engine")
    onnx.save(model(nodes, {"x": ["n", 2, 6, 6]}, {"y": ["n", 4]}, constants), folder / "n.onnx")
    target = load_target("rram").changed(
        {"read.dac_bits": None, "adc.bits": None, "noise.programming": None, "noise.read": None}
    )
    path = folder / "n.cim"
    compile_model(
        str(folder / "n.onnx"), target=target, levels=8, data={"x": inputs(64, 1)}, output=path
    )
    return read(path)


def inputs(count: int, seed: int) -> np.ndarray:
    return rng(seed).standard_normal((count, 2, 6, 6)).astype(np.float32)


def data(program: DeviceProgram) -> Data:
    assert program.calibration is not None
    kept = dict(program.calibration.inputs)
    return Data(kept, None, len(kept["x"]))


def target(program: DeviceProgram) -> Target:
    return Target.from_plain(program.target, name="x")


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_graph_computes_what_the_chip_does(program: DeviceProgram, rounds: int) -> None:
    """Cells, maps, signs, gains and constants together, against the executor on the fault map."""
    faults = sample(program, rate=0.2, conductance_share=0.3, seed=2)
    settings = RemapSettings(rounds=rounds)
    done = remap(lift(program), target(program), faults, settings, data(program))
    made = emit(done.network, target(program), {})
    made = replace(made, faults=faults.record())
    x = inputs(16, 7)
    chip = Executor(made, mode="ideal").run({"x": x}).outputs["y"]
    (graph,) = interpret(done.network.graph, [torch.from_numpy(x)])
    np.testing.assert_allclose(graph.numpy(), chip, rtol=1e-4, atol=1e-5)


def test_every_ingredient_serves_the_outputs(program: DeviceProgram) -> None:
    """With everything the outputs are nearer the float network's than with only nearest values."""
    faults = sample(program, rate=0.25, seed=5)
    network = lift(program)
    x = torch.from_numpy(inputs(200, 8))
    graph, tensors = rewrite.copy(network.graph)
    tensors.update(network.float_constants)
    for layer in network.layers.values():
        assert layer.float_matrix is not None
        shape = tuple(tensors[layer.weight].shape)
        tensors[layer.weight] = layer.geometry.from_matrix(layer.float_matrix, shape)
    (wanted,) = interpret(rewrite.build(graph, tensors), [x])

    def lost(settings: RemapSettings) -> float:
        done = remap(network, target(program), faults, settings, data(program))
        (got,) = interpret(done.network.graph, [x])
        return float((got - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())

    none = lost(RemapSettings(method="nearest"))
    everything = lost(RemapSettings())
    assert everything < 0.2 * none
    assert everything < 0.05


def test_means_are_those_of_the_float_network(program: DeviceProgram) -> None:
    """On the calibration inputs, channel by channel: the bias is solved for, not estimated."""
    faults = sample(program, rate=0.25, seed=6)
    network = lift(program)
    before = {**rewrite.attributes(network.graph), **network.float_constants}
    for layer in network.layers.values():
        assert layer.float_matrix is not None
        shape = tuple(before[layer.weight].shape)
        before[layer.weight] = layer.geometry.from_matrix(layer.float_matrix, shape)
    done = remap(network, target(program), faults, RemapSettings(), data(program))
    graph, _ = rewrite.copy(network.graph)
    x = torch.from_numpy(data(program).inputs["x"])
    (wanted,) = interpret(rewrite.build(graph, before), [x])
    (got,) = interpret(done.network.graph, [x])
    torch.testing.assert_close(
        channel_means([got], -1), channel_means([wanted], -1), rtol=1e-4, atol=1e-5
    )


def test_only_layers_downstream_of_faults_are_touched(program: DeviceProgram) -> None:
    layers = program.layers
    last = list(layers)[-1]
    cells = [(tile[6], tile[7], tile[8], AT_G_MAX) for tile in layers[last].tiles.tolist()]
    faults = FaultMap(
        "x", "rram", np.array([0], np.int32), np.array(cells, np.int32), np.zeros(len(cells), "f4")
    )
    settings = RemapSettings(arrays=False)
    done = remap(lift(program), target(program), faults, settings, data(program))
    touched = [name for name, layer in done.network.layers.items() if layer.remapped]
    assert touched == [last]
    for report in done.layers:
        assert report.faulty_cells == (report.layer == last)
        assert report.layer == last or report.remapped_weights == 0


def test_corrections_find_the_constants_of_quantization(program: DeviceProgram) -> None:
    network = lift(program)
    nodes = {n.name: n for n in network.graph.graph.nodes}
    for layer in network.layers.values():
        place = channel_constant(nodes[layer.uses[0].node], network.float_constants)
        assert place is not None
        assert place.name in network.float_constants
    faults = sample(program, rate=0.2, seed=2)
    done = remap(network, target(program), faults, RemapSettings(), data(program)).network
    assert set(done.float_constants) == set(network.float_constants)
    assert len(list(done.graph.graph.nodes)) == len(list(network.graph.graph.nodes))


def test_the_gain_of_a_column_is_the_least_squares_one() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator)
    wanted, value = (torch.randn(1, 6, 3, generator=generator) for _ in range(2))
    value = wanted + 0.3 * value
    h = (x.T @ x / 50)[None]
    found = best_gain(Wanted(wanted, [(slice(0, 6), h)]), value)
    for c in range(3):
        y, z = (x @ wanted[0, :, c]).double().numpy(), (x @ value[0, :, c]).double().numpy()
        (solved,), *_ = np.linalg.lstsq(z[:, None], y, rcond=None)
        assert float(found[0, 0, c]) == pytest.approx(solved, rel=1e-4)


def test_stuck_cells_and_gains_lie_over_targets() -> None:
    device = load_target("rram")
    plane = torch.tensor([[[2.1, 17.85, 5.0]]])
    stuck = torch.tensor([[[torch.nan, torch.nan, 9.0]]])
    lrs, hrs = torch.full((1, 1, 3), 1.1), torch.full((1, 1, 3), 0.9)
    (found,) = real_us((plane,), CellFaults((stuck,), (lrs,), (hrs,)), device)
    assert found.flatten().tolist() == pytest.approx([2.1 * 0.9, 17.85 * 1.1, 9.0], rel=1e-5)


def test_half_a_step_is_half_the_way_to_the_nearest_other_level() -> None:
    codes = torch.tensor([[[0], [1], [2], [3]]], dtype=torch.uint8)
    levels = torch.tensor([-1.0, 0.0, 0.5, 3.0])
    own = levels[codes.long()]
    assert half_step(own, Codebook(levels, codes)).flatten().tolist() == [0.5, 0.25, 0.25, 1.25]
    padded = torch.tensor([[-1.0, 0.0, 0.5, 0.5]])
    own = torch.tensor([[[-1.0], [0.0], [0.5], [0.5]]])
    assert half_step(own, Codebook(padded, codes)).flatten().tolist()[:3] == [0.5, 0.25, 0.25]


def test_errors_of_layers_without_outputs_do_not_count() -> None:
    layers = [
        LayerReport("a", 1, 1, 1, 1, 1, 0.4, 0.1, 2.0),
        LayerReport("b", 1, 1, 1, 1, 1, 0.2, 0.3, 5.0),
        LayerReport("c", 1, 1, 1, 1, 1, 9.0, 9.0, 0.0),
    ]
    assert total_error(layers, before=True) == pytest.approx(0.3)
    assert total_error(layers, before=False) == pytest.approx(0.2)
    assert total_error([LayerReport("a", 1, 1, 1, 1, 1)], before=True) is None


def test_lifting_a_program_of_a_chip_starts_from_its_cells(
    program: DeviceProgram, tmp_path: Path
) -> None:
    from cimc.pipeline.recompile import recompile

    faults = sample(program, rate=0.2, seed=2)
    made = recompile(program, faults, output=tmp_path / "c.cim").program
    again = emit(lift(read(tmp_path / "c.cim")), target(program), {})
    for name, layer in made.layers.items():
        other = again.layers[name]
        assert all(a.equal(b) for a, b in zip(layer.cells.planes, other.cells.planes, strict=True))
        assert layer.cells.gain.equal(other.cells.gain)
        assert np.array_equal(layer.tiles, other.tiles)
        for lines in ("word_lines", "bit_lines"):
            assert np.array_equal(getattr(layer, lines), getattr(other, lines))
