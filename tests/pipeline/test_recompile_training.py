"""``cimc recompile --train-data``: a program trained for the chip it is made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cimc
from cimc.cli import main
from cimc.errors import FaultMapError, UsageError
from cimc.executor import Executor
from cimc.faults import FaultMap, save_fault_map
from cimc.faults import sample as sample_faults
from cimc.pipeline.recompile import recompile
from cimc.program.model import DeviceProgram
from tests.end_to_end.build import model, node, normal

TRAINING: dict[str, Any] = {"epochs": 2, "batch": 8, "rates": "relative", "validation": 0.25}


def network() -> Any:
    weights = {
        "w1": normal(8, 2, 3, 3, seed=1) / 4,
        "b1": normal(8, seed=2) / 10,
        "w2": normal(5, 8, seed=3) / 3,
        "b2": normal(5, seed=4) / 10,
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], "c1", kernel_shape=[3, 3]),
        node("Relu", ["c1"], "r1"),
        node("GlobalAveragePool", ["r1"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "w2", "b2"], "y", transB=1),
    ]
    return model(nodes, {"x": ["n", 2, 6, 6]}, ["y"], weights)


def inputs(samples: int, seed: int) -> Any:
    return normal(samples, 2, 6, 6, seed=seed)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return {"x": inputs(64, 9)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> DeviceProgram:
    path = tmp_path_factory.mktemp("program") / "net.cim"
    cimc.compile(network(), target="rram", levels=8, data={"x": inputs(24, 50)}, output=path)
    return cimc.load(path)


@pytest.fixture(scope="module")
def faults(program: DeviceProgram) -> FaultMap:
    return sample_faults(program, rate=0.25, seed=2)


def test_a_trained_program_is_nearer_to_the_float_network(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any]
) -> None:
    """Distilled on some inputs; the mean square error on others, without noise."""
    plain = recompile(program, faults, method="nearest")
    training = {**TRAINING, "epochs": 12, "learning_rate": 0.01}
    trained = recompile(program, faults, method="nearest", train_data=data, training=training)
    report = trained.report.training
    assert report is not None
    assert report.kept_epoch > 0
    assert trained.program.provenance["recompiled"]["training"]["recipe"]["epochs"] == 12
    x = {"x": inputs(64, 77)}
    exact = cimc.compile(network(), target="ideal")
    want = Executor(exact, "ideal").run(x).outputs["y"]
    off = [
        float(np.square(Executor(p, "ideal").run(x).outputs["y"] - want).mean())
        for p in (plain.program, trained.program)
    ]
    assert off[1] < 0.7 * off[0]


def test_no_stuck_cell_is_programmed_otherwise(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any]
) -> None:
    plain = recompile(program, faults)
    training = {**TRAINING, "learning_rate": 0.05, "keep": "last"}
    trained = recompile(program, faults, train_data=data, training=training)
    from cimc.executor.known_faults import known_cells

    moved = 0
    for name, planes in known_cells(plain.program).stuck.items():
        for number, stuck in planes.items():
            one, two = (
                p.program.layers[name].cells.planes[number].flatten() for p in (plain, trained)
            )
            assert (one[stuck.index] == two[stuck.index]).all()
            moved += int((one != two).sum())
    assert moved > 0


def test_another_chip_starts_from_the_same_float_network(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any], tmp_path: Path
) -> None:
    """A program trained for one chip, recompiled for another: as if it had never been."""
    training = {**TRAINING, "keep": "last", "learning_rate": 0.01}
    first = tmp_path / "first.cim"
    recompile(program, faults, train_data=data, training=training, output=first)
    other = sample_faults(program, rate=0.25, seed=3)
    direct, again = recompile(program, other).program, recompile(first, other).program
    for name, layer in direct.layers.items():
        for one, two in zip(layer.cells.planes, again.layers[name].cells.planes, strict=True):
            assert (one == two).all()
    for name, value in direct.constants.items():
        assert (value == again.constants[name]).all()


def test_ranges_learned_for_a_chip_are_not_taken_for_another(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any], tmp_path: Path
) -> None:
    """Of two layers, the first and the last, ``activation_bits`` alone changes nothing."""
    other, first = sample_faults(program, rate=0.25, seed=3), tmp_path / "first.cim"
    for name, found in (("activation_bits", {8}), ("first_last_bits", {4})):
        training = {**TRAINING, "keep": "last", name: 4}
        recompile(program, faults, train_data=data, training=training, output=first)
        made = cimc.load(first)
        assert {layer.uses[0].dac.bits for layer in made.layers.values()} == found
        if found == {8}:
            recompile(first, other, method="nearest")
            continue
        with pytest.raises(FaultMapError, match="CIMC-F30"):
            recompile(first, other, method="nearest")


def test_a_recipe_of_compiling_is_refused(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as caught:
        recompile(program, faults, train_data=data, recipe={"levels": 4})
    assert caught.value.code == "CIMC-U73"


def test_settings_without_training_data_are_refused(
    program: DeviceProgram, faults: FaultMap
) -> None:
    with pytest.raises(UsageError) as caught:
        recompile(program, faults, training={"epochs": 2})
    assert caught.value.code == "CIMC-U55"


def test_the_command(program: DeviceProgram, data: dict[str, Any], tmp_path: Path) -> None:
    from cimc.program import write

    write(program, tmp_path / "net.cim")
    np.savez(tmp_path / "train.npz", **data)
    save_fault_map(
        sample_faults(program, rate=0.2, seed=4, chip="chip-4"), tmp_path / "f.safetensors"
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("training:\n  batch: 8\n  rates: relative\n  faults: {snap_every: 1}\n")
    arguments = ["recompile", tmp_path / "net.cim", "--fault-map", tmp_path / "f.safetensors"]
    arguments += ["--train-data", tmp_path / "train.npz", "--epochs", "1"]
    arguments += ["--recipe", recipe, "-o", tmp_path / "out.cim"]
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "trained for the device" in done.output
    made = cimc.load(tmp_path / "out.cim")
    assert made.faults is not None
    recipe_used = made.provenance["recompiled"]["training"]["recipe"]
    assert recipe_used["faults"] == {"method": "reachable", "snap_every": 1, "delta": 4.0}
    assert not (tmp_path / "out.cim.training").exists()
    assert (
        recompile(program, sample_faults(program, rate=0.1)).report.to_json()["training"] is None
    )


class StoppedError(Exception):
    """As if the process had been killed."""


def test_killed_and_resumed_it_writes_the_same_program(
    program: DeviceProgram, faults: FaultMap, data: dict[str, Any], tmp_path: Path
) -> None:
    def stop(what: str, share: float) -> None:
        if what.startswith("train") and share > 0.6:
            raise StoppedError

    given: dict[str, Any] = {"train_data": data, "training": {**TRAINING, "keep": "last"}}
    whole = recompile(program, faults, output=tmp_path / "a.cim", **given)
    with pytest.raises(StoppedError):
        recompile(program, faults, output=tmp_path / "b.cim", progress=stop, **given)
    assert not (tmp_path / "b.cim").exists()
    with pytest.raises(UsageError) as caught:
        recompile(program, faults, output=tmp_path / "b.cim", **given)
    assert caught.value.code == "CIMC-U58"
    resumed = recompile(program, faults, output=tmp_path / "b.cim", resume=True, **given)
    assert resumed.report.training is not None
    assert resumed.report.training.resumed
    assert resumed.report.sha256 == whole.report.sha256
    assert not (tmp_path / "b.cim.training").exists()
