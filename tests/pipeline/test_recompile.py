"""A program for one chip: for every way cells can hold a weight, and for what can go wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import cimc
from cimc.errors import FaultMapError, ProgramError, UsageError
from cimc.executor import Executor
from cimc.faults import AT_G_MAX, AT_G_MIN, FaultMap, laid_over, sample, save_fault_map
from cimc.pipeline import compile_model
from cimc.pipeline.recompile import Recompiler, recompile
from cimc.program import read, write
from cimc.program.model import DeviceProgram
from cimc.remap.settings import RemapSettings
from tests.passes.networks import model
from tests.pipeline.test_layouts import LAYOUTS, network, samples, target
from tests.verification.onnx_models import linear_chain

__all__ = ["network"]

#: Faults of every kind.
FAULTS = {"rate": 0.1, "conductance_share": 0.2}


def compiled(network: Path, layout: str, output: Path, **options: object) -> DeviceProgram:
    """Return a program of six kinds of layers, calibrated unless told otherwise."""
    options = {"data": samples(48, 1), **options}
    device = target(layout)
    compile_model(str(network), target=device, output=output, **options)
    return read(output)


def outputs(program: DeviceProgram, count: int = 64) -> np.ndarray:
    return Executor(program, mode="ideal").run(samples(count, 9)).outputs["y"]


def lost(program: DeviceProgram, wanted: np.ndarray) -> float:
    """Error of the outputs, as a share of their variance."""
    error = outputs(program) - wanted
    return float((error**2).sum() / ((wanted - wanted.mean(0)) ** 2).sum())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_are_nearer_than_with_the_faults_ignored(
    network: Path, layout: str, tmp_path: Path
) -> None:
    program = compiled(network, layout, tmp_path / "net.cim")
    faults = sample(program, seed=3, sigma_lrs=0.05, **FAULTS)
    wanted = outputs(program)
    ignoring = lost(laid_over(program, faults)[0], wanted)
    errors = {}
    for method in ("nearest", "feedback"):
        done = recompile(program, faults, method=method, output=tmp_path / f"{method}.cim")
        errors[method] = lost(read(tmp_path / f"{method}.cim"), wanted)
        report = done.report
        assert report.output_error_before is not None
        assert report.output_error_after is not None
        assert report.output_error_after < report.output_error_before
        assert 0 < report.faulty_cells < report.cells
        assert report.unreachable_weights <= report.affected_weights + report.remapped_weights
    # A stuck offset cell moves a row of every column, which nearest values cannot take back.
    if not layout.startswith("offset"):
        assert errors["nearest"] < ignoring
    assert errors["feedback"] < 0.5 * ignoring


@pytest.mark.parametrize("layout", ["pair", "twin", "sliced"])
def test_another_chip_from_a_chip_is_that_chip_from_the_program(
    network: Path, layout: str, tmp_path: Path
) -> None:
    program = compiled(network, layout, tmp_path / "net.cim")
    one, two = (sample(program, seed=s, **FAULTS) for s in (1, 2))
    first = recompile(program, one, output=tmp_path / "one.cim").program
    direct = recompile(program, two, output=tmp_path / "two.cim").program
    again = recompile(tmp_path / "one.cim", two, output=tmp_path / "three.cim").program
    assert direct.sha256 == again.sha256 != first.sha256
    repeated = recompile(program, one, output=tmp_path / "four.cim").program
    assert repeated.sha256 == first.sha256


def test_one_recompiler_makes_chips_alike_in_any_order(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    one, two = (sample(program, seed=s, **FAULTS) for s in (1, 2))
    both = Recompiler(program)
    both.for_chip(one)
    second = both.for_chip(two, output=tmp_path / "a.cim").program
    assert second.sha256 == recompile(program, two, output=tmp_path / "b.cim").program.sha256


def test_a_chip_without_faults_gets_the_program(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    none = sample(program, rate=0.0, seed=0)
    done = recompile(program, none)
    assert done.report.remapped_weights == done.report.faulty_cells == 0
    for name, layer in program.layers.items():
        for before, after in zip(
            layer.cells.planes, done.program.layers[name].cells.planes, strict=True
        ):
            assert before.equal(after)
    np.testing.assert_allclose(outputs(done.program), outputs(program), atol=1e-6)


def test_layers_without_faults_can_be_made_anew(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    assert program.calibration is not None
    inputs = program.calibration.inputs
    session = onnxruntime.InferenceSession(network.read_bytes())
    (wanted,) = session.run(["y"], dict(inputs))
    none = sample(program, rate=0.0, seed=0)
    errors = []
    for healthy in (False, True):
        done = recompile(program, none, settings=RemapSettings(healthy=healthy))
        kept = all(
            before.equal(after)
            for name, layer in program.layers.items()
            for before, after in zip(
                layer.cells.planes, done.program.layers[name].cells.planes, strict=True
            )
        )
        assert kept is not healthy
        found = Executor(done.program, mode="ideal").run(inputs).outputs["y"]
        errors.append(float(((found - wanted) ** 2).sum()))
    assert errors[1] < 0.7 * errors[0]


def test_without_calibration_data_the_nearest_values_are_taken(
    network: Path, tmp_path: Path
) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim", data=None)
    faults = sample(program, seed=3, **FAULTS)
    done = recompile(program, faults, output=tmp_path / "chip.cim")
    assert done.report.method == "nearest"
    assert done.report.output_error_before is None
    with pytest.raises(UsageError, match="CIMC-U66"):
        recompile(program, faults, method="feedback")
    with pytest.raises(FaultMapError, match="CIMC-F30"):
        recompile(tmp_path / "chip.cim", sample(program, seed=4, rate=0.1))
    given = recompile(program, faults, data=samples(32, 5))
    assert given.report.method == "feedback"


def test_a_layer_whose_cells_are_all_stuck(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    name, layer = next(iter(program.layers.items()))
    cells = []
    for array in sorted(set(layer.tiles[:, 6].tolist())):
        for row in range(36):
            states = (AT_G_MIN, AT_G_MAX)
            cells += [(array, row, column, states[(row + column) % 2]) for column in range(12)]
    table = np.array(cells, np.int32)
    arrays = np.unique(table[:, 0]).astype(np.int32)
    # The chip has no other arrays to go to.
    faults = FaultMap("bad", "rram", arrays, table, np.zeros(len(table), np.float32))
    done = recompile(program, faults, skip=("arrays",))
    found = next(report for report in done.report.layers if report.layer == name)
    assert found.faulty_cells == found.cells
    assert np.isfinite(outputs(done.program)).all()


def test_what_is_said_of_it(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    save_fault_map(sample(program, seed=3, **FAULTS), tmp_path / "f.safetensors")
    chip = cimc.recompile(program, tmp_path / "f.safetensors", output=tmp_path / "c.cim")
    assert chip.faults is not None
    assert chip.provenance["fault_map"]["chip"] == "chip-3"
    assert len(chip.provenance["fault_map"]["sha256"]) == 64
    assert chip.provenance["recompiled"]["from"] == program.sha256
    assert chip.golden is not None
    again = Executor(chip, mode="noise-free").run(chip.golden.inputs).outputs["y"]
    np.testing.assert_array_equal(again, chip.golden.outputs["y"])


def test_ingredients_can_be_left_out(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    faults = sample(program, seed=3, **FAULTS)
    skip = ("arrays", "rows", "columns", "polarity", "gain", "bias")
    done = recompile(program, faults, skip=skip)
    for name, layer in done.program.layers.items():
        assert layer.word_lines is None
        assert layer.bit_lines is None
        assert layer.cells.gain.equal(program.layers[name].cells.gain)
    for name, value in done.program.constants.items():
        assert value.equal(program.constants[name])
    with pytest.raises(UsageError, match="CIMC-U65"):
        recompile(program, faults, skip=("row",))
    with pytest.raises(UsageError, match="CIMC-U65"):
        recompile(program, faults, method="luck")


def test_writing_in_memory_is_the_same(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    faults = sample(program, seed=3, **FAULTS)
    kept = recompile(program, faults, settings=RemapSettings(cells="codebook"))
    assert kept.program.sha256 == ""
    assert kept.report.sha256 is None
    written = write(replace(kept.program), tmp_path / "k.cim")
    other = recompile(
        program, faults, settings=RemapSettings(cells="codebook"), output=tmp_path / "o.cim"
    )
    assert other.program.sha256 == written


def test_a_weight_read_twice_and_an_opaque_operator(tmp_path: Path) -> None:
    """The layer is made for the inputs of both places, and every run sees the same weight."""
    r = np.random.default_rng(2)

    def normal(*shape: int) -> np.ndarray:
        return (r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Unique", ["e"], ["u", "", "k"], sorted=1),
        helper.make_node("MatMul", ["e", "v"], ["y"]),
        helper.make_node("Cast", ["k"], ["i"], to=1),
    ]
    constants = {"w": normal(4, 4, 3, 3), "b": normal(4), "v": normal(4, 3)}
    path = tmp_path / "shared.onnx"
    onnx.save(model(nodes, {"x": ["n", 4, 5, 5]}, {"y": ["n", 3], "i": ["k"]}, constants), path)
    x = {"x": r.standard_normal((40, 4, 5, 5)).astype(np.float32)}
    program = compile_model(str(path), target=target("pair"), data=x, levels=8).program
    faults = sample(program, seed=3, rate=0.2)
    ideal = Executor(program, mode="ideal").run(x).outputs["y"]
    ignored = Executor(laid_over(program, faults)[0], mode="ideal").run(x).outputs["y"]
    chip = recompile(program, faults).program
    after = Executor(chip, mode="ideal").run(x).outputs["y"]
    assert np.square(after - ideal).sum() < 0.3 * np.square(ignored - ideal).sum()


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_layer_that_no_calibration_input_reaches(tmp_path: Path, rounds: int) -> None:
    """Samples above a threshold go through a second matrix; there are none such."""
    r = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMax", ["a", "axis"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "much"], ["c"]),
        helper.make_node("Compress", ["a", "c"], ["s"], axis=0),
        helper.make_node("MatMul", ["s", "v"], ["z"]),
    ]
    constants = {
        "w": r.standard_normal((4, 5)).astype(np.float32),
        "v": r.standard_normal((5, 3)).astype(np.float32),
        "axis": np.array([1]),
        "much": np.array(100, np.float32),
    }
    path = tmp_path / "rare.onnx"
    onnx.save(model(nodes, {"x": ["n", 4]}, {"a": ["n", 5], "z": ["k", 3]}, constants), path)
    x = r.standard_normal((40, 4)).astype(np.float32)
    program = compile_model(str(path), target=target("pair"), data={"x": x}, levels=8).program
    chip = recompile(
        program, sample(program, seed=3, rate=0.2), settings=RemapSettings(rounds=rounds)
    )
    found = Executor(chip.program, mode="ideal").run({"x": 1000 * x}).outputs["z"]
    first = 1000 * x @ constants["w"]
    wanted = first[first.max(1) > 200] @ constants["v"]
    assert abs(len(found) - len(wanted)) < 4  # some are at the threshold
    assert np.isfinite(found).all()


def test_a_provenance_that_cannot_be_is_refused(network: Path, tmp_path: Path) -> None:
    program = compiled(network, "pair", tmp_path / "net.cim")
    fit = {"pass": "fit-converters", "options": {"adc_method": "max"}}
    for good in ({}, {"pipeline": [fit]}, {"seed": 7}):
        Recompiler(replace(program, provenance=good))
    for wrong in (
        {"recompiled": "x"},
        {"model": 3},
        {"seed": "x"},
        {"seed": True},
        {"seed": 1 << 64},
        {"pipeline": 5},
        {"pipeline": [{**fit, "options": ["max"]}]},
        {"pipeline": [{**fit, "options": {"adc_method": "luck"}}]},
        {"pipeline": [{**fit, "options": {"input_method": ["max"]}}]},
        {"pipeline": [{**fit, "options": {"percentile": "x"}}]},
        {"pipeline": [{**fit, "options": {"percentile": float("nan")}}]},
    ):
        with pytest.raises(ProgramError, match="CIMC-P07"):
            Recompiler(replace(program, provenance=wrong))


def test_a_trained_program_stays_the_one_that_was_trained(tmp_path: Path) -> None:
    """What a chip is to do is what the trained weights do, not the float ones before."""
    path = linear_chain(tmp_path / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, 64)
    program = compile_model(
        str(path),
        target="rram",
        levels=8,
        data={"x": x},
        train_data={"x": x, "labels": labels},
        training={"epochs": 2, "learning_rate": 0.1, "validation": 0.0},
        output=tmp_path / "t.cim",
    ).program
    assert program.calibration is not None
    assert not program.calibration.constants
    one, two = (sample(program, seed=s, rate=0.15) for s in (1, 2))
    recompile(tmp_path / "t.cim", one, output=tmp_path / "one.cim")
    direct = recompile(tmp_path / "t.cim", two, output=tmp_path / "two.cim").program
    again = recompile(tmp_path / "one.cim", two, output=tmp_path / "three.cim").program
    assert direct.golden is not None
    programs = {"program": program, "direct": direct, "again": again}
    ideal = {
        name: Executor(one, mode="ideal").run({"x": x}).outputs["y"]
        for name, one in programs.items()
    }
    np.testing.assert_allclose(ideal["direct"], ideal["again"], atol=1e-4)
    spread = np.square(ideal["program"] - ideal["program"].mean(0)).sum()
    assert np.square(ideal["direct"] - ideal["program"]).sum() < 0.05 * spread
