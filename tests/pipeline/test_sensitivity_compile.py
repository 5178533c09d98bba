"""Compiling again gives the program that compiling with the changed target gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cimc.errors import UsageError
from cimc.pipeline import compile_model
from cimc.pipeline.sensitivity_compile import Compiler, recipe_of
from cimc.pipeline.sensitivity_plan import Point
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from tests.pipeline.conftest import Chain
from tests.verification.onnx_models import linear_chain


def point(**changes: object) -> Point:
    return Point("k", "l", "sweep", changes={k.replace("__", "."): v for k, v in changes.items()})


def same(one: DeviceProgram, other: DeviceProgram) -> bool:
    """Whether cells and converter ranges are equal."""
    for name, layer in one.layers.items():
        twin = other.layers[name]
        pairs = list(zip(layer.cells.planes, twin.cells.planes, strict=True))
        pairs += [(layer.cells.gain, twin.cells.gain)]
        for use, again in zip(layer.uses, twin.uses, strict=True):
            if (use.dac, use.adc.bits) != (again.dac, again.adc.bits):
                return False
            assert use.adc.i_max_us is not None
            assert again.adc.i_max_us is not None
            pairs.append((use.adc.i_max_us, again.adc.i_max_us))
        if not all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs):
            return False
    return True


def test_nothing_changed_gives_the_same_program(chain: Chain) -> None:
    compiler = Compiler(chain.program, chain.model, {"x": chain.data["x"]})
    again = compiler.program(point(adc__bits=8))
    assert same(again, chain.program)
    assert compiler.compiled == 1


def test_kept_samples_stand_for_the_data(chain: Chain) -> None:
    """All 60 samples are kept here, so that nothing is lost."""
    assert same(
        Compiler(chain.program, chain.model, None).program(point(adc__bits=8)), chain.program
    )


def test_ranges_are_fitted_again(chain: Chain) -> None:
    compiler = Compiler(chain.program, chain.model, None)
    made = compiler.program(point(adc__bits=4))
    target = Target.from_plain(dict(chain.program.target)).changed({"adc.bits": 4})
    wanted = compile_model(
        chain.model, target=target, data={"x": chain.data["x"]}, levels=16
    ).program
    assert same(made, wanted)
    assert not same(made, chain.program)
    assert {u.adc.bits for layer in made.layers.values() for u in layer.uses} == {4}


def test_options_are_those_of_the_program(chain: Chain) -> None:
    recipe = recipe_of(chain.program.provenance)
    assert (recipe["levels"], recipe["quantizer"], recipe["seed"]) == (16, "lloyd", 0)
    made = Compiler(chain.program, chain.model, None).program(
        Point("k", "l", "sweep", options={"levels": 4})
    )
    wanted = compile_model(
        chain.model,
        target=Target.from_plain(dict(chain.program.target)),
        data={"x": chain.data["x"]},
        levels=4,
    ).program
    assert same(made, wanted)


def test_pinned_layers_stay_digital(chain: Chain) -> None:
    target = Target.from_plain(dict(chain.program.target))
    pinned = compile_model(
        chain.model, target=target, data={"x": chain.data["x"]}, levels=16, digital=["fc2"]
    ).program
    assert len(pinned.layers) == 1
    made = Compiler(pinned, chain.model, None).program(point(adc__bits=6))
    assert made.layers.keys() == pinned.layers.keys()


def test_physics_leave_the_program_as_it_is(chain: Chain) -> None:
    compiler = Compiler(chain.program, chain.model, None)
    made = compiler.program(point(noise__programming__sigma="1 uS"))
    assert compiler.compiled == 0
    assert made.layers is chain.program.layers
    assert made.target["noise"]["programming"]["sigma"] == "1 uS"


def refused(compiler: Compiler) -> str:
    with pytest.raises(UsageError) as caught:
        compiler.program(point(adc__bits=6))
    assert caught.value.code == "CIMC-U11"
    return str(caught.value)


def test_data_that_were_not_kept_are_asked_for(chain: Chain) -> None:
    without = replace(chain.program, calibration=None)
    assert "--calibration" in refused(Compiler(without, chain.model, None))
    given = Compiler(without, chain.model, {"x": chain.data["x"]})
    assert not same(given.program(point(adc__bits=6)), chain.program)
    older = {k: v for k, v in without.provenance.items() if k != "calibration_samples"}
    refused(Compiler(replace(without, provenance=older), chain.model, None))


def test_a_program_compiled_without_data_needs_none(chain: Chain) -> None:
    target = Target.from_plain(dict(chain.program.target))
    bare = compile_model(chain.model, target=target, levels=16).program
    compiler = Compiler(bare, chain.model, None)
    assert same(compiler.program(point(adc__bits=8)), bare)
    assert compiler.data is None


def test_another_model_is_refused(chain: Chain, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(linear_chain(tmp_path / "other.onnx"))
    for weight in model.graph.initializer:
        if weight.name == "b":
            weight.raw_data = np.ones(3, np.float32).tobytes()
    onnx.save(model, tmp_path / "other.onnx")
    text = refused(Compiler(chain.program, tmp_path / "other.onnx", None))
    assert "not the model" in text
    assert "a function" in refused(Compiler(chain.program, lambda inputs: inputs, None))


def test_the_number_of_slices_decides_the_levels(chain: Chain) -> None:
    """A program of 4 slices has 16 levels; compiled again with 3 it has 8."""
    target = Target.from_plain(dict(chain.program.target)).changed(
        {"encoding": "bit-sliced", "slices": {"count": 4}, "cell.default_levels": None}
    )
    program = compile_model(chain.model, target=target, data={"x": chain.data["x"]}).program
    made = Compiler(program, chain.model, None).program(point(slices__count=3))
    assert {len(x.cells.planes) for x in program.layers.values()} == {4}
    assert {len(x.cells.planes) for x in made.layers.values()} == {3}
