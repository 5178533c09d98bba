"""Converter ranges through the whole compilation, and against what the executor then does."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest
from onnx import helper

from cimc.executor import Executor
from cimc.pipeline import compile_model
from cimc.pipeline.options import Options
from cimc.program import read
from cimc.program.inspection import layers
from cimc.targets import load_target
from tests.passes.networks import model, rng

ENCODINGS = {
    "pair": {},
    "pair-after": {"pair.subtraction": "after-adc"},
    "offset": {"encoding": "offset-column"},
    "slices": {
        "encoding": "bit-sliced",
        "slices": {"count": 4, "multipliers": "digital"},
        "cell.states": ["2.1 uS", "17.85 uS"],
    },
    "slices-in-conductance": {
        "encoding": "bit-sliced",
        "slices": {"count": 4, "multipliers": "conductance"},
    },
}
SIGNED = ("bipolar", "two-phase", "shift")
CASES = [
    *itertools.product(ENCODINGS, ("parallel", "bit-serial"), SIGNED),
    ("pair", "pulse-width", "bipolar"),
]


def one_layer():
    weights = (rng().standard_normal((60, 6))).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
    return model([node], {"x": ["n", 60]}, {"y": ["n", 6]}, {"w": weights})


def inputs(samples=128):
    return {"x": rng(3).standard_normal((samples, 60)).astype(np.float32)}


@pytest.mark.parametrize(("encoding", "drive", "negative"), CASES)
def test_the_executor_finds_the_error_that_was_fitted(encoding, drive, negative):
    changes = {**ENCODINGS[encoding], "read.drive": drive, "read.signed_inputs": negative}
    target = load_target("rram").changed(
        {**changes, "array.rows": 40, "adc.bits": 6, "adc.range": "per-column"}
    )
    result = compile_model(one_layer(), target=target, data=inputs())
    (said,) = result.report.converters
    exact, got = (
        Executor(result.program, mode=mode).run(inputs()).outputs["y"].astype(np.float64)
        for mode in ("ideal", "noise-free")
    )
    measured = 10 * np.log10(np.square(exact).sum() / np.square(got - exact).sum())
    assert said.snr_db == pytest.approx(measured, abs=0.1)
    # Six bits for shifted inputs and four slices on one bit line, whose common current takes
    # most of the range, are little: 8.1 dB are the least of all cases.
    assert said.snr_db > 7


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ranges_without_a_dac_are_for_the_inputs_as_they_are_applied(encoding):
    target = load_target("rram").changed({**ENCODINGS[encoding], "read.dac_bits": None})
    data = {"x": inputs()["x"] * np.geomspace(0.01, 1, 128, dtype=np.float32)[:, None]}
    result = compile_model(one_layer(), target=target, data=data)
    (said,) = result.report.converters
    assert (said.input_method, said.inputs_clipped) == (None, None)
    exact, got = (
        Executor(result.program, mode=mode).run(data).outputs["y"].astype(np.float64)
        for mode in ("ideal", "noise-free")
    )
    measured = 10 * np.log10(np.square(exact).sum() / np.square(got - exact).sum())
    assert said.snr_db == pytest.approx(measured, abs=0.1)


@pytest.mark.parametrize("method", ["search", "mse"])
def test_a_dac_without_an_adc_is_fitted_to_the_output_too(method):
    target = load_target("rram").changed({"adc.bits": None, "read.dac_bits": 4})
    result = compile_model(one_layer(), target=target, data=inputs(), converters=method)
    (said,) = result.report.converters
    assert (said.input_method, said.adc_method, said.adc_range_us) == (method, None, None)
    exact, got = (
        Executor(result.program, mode=mode).run(inputs()).outputs["y"].astype(np.float64)
        for mode in ("ideal", "noise-free")
    )
    measured = 10 * np.log10(np.square(exact).sum() / np.square(got - exact).sum())
    assert said.snr_db == pytest.approx(measured, abs=0.1)


def test_ranges_and_clipping_are_in_the_program_and_the_report(tmp_path):
    result = compile_model(
        one_layer(), target="rram", levels=8, data=inputs(), output=tmp_path / "o.cim",
        converters={"input_method": "percentile", "adc_method": "mse", "percentile": 99.0},
    )  # fmt: skip
    (said,) = result.report.converters
    assert (said.input_method, said.adc_method) == ("percentile", "mse")
    assert said.inputs_clipped == pytest.approx(0.01, abs=2e-3)
    program = read(tmp_path / "o.cim")
    (layer,) = program.layers.values()
    (use,) = layer.uses
    assert use == layer.uses[0]
    assert {**asdict(use.fitted)}.items() <= asdict(said).items()
    (shown,) = layers(program)
    assert shown.uses[0].fitted == use.fitted
    assert said.adc_range_us == shown.uses[0].adc_range_us


def test_without_data_methods_say_so():
    (said,) = compile_model(one_layer(), target="rram").report.converters
    assert (said.input_method, said.adc_method) == ("dynamic", "weights")
    assert (said.inputs_clipped, said.conversions_clipped, said.snr_db) == (None, None, None)
    assert said.x_max is None


def test_the_ideal_target_has_no_converters():
    assert compile_model(one_layer(), target="ideal").report.converters == ()


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        ({}, None, ("search", "search", 99.99)),
        ({"converters": "mse"}, None, ("mse", "mse", 99.99)),
        ({"converters": {"adc_method": "max"}}, None, ("search", "max", 99.99)),
        ({"converters": "max"}, {"percentile": 99.0}, ("max", "max", 99.0)),
        ({"converters": "max"}, "percentile", ("percentile", "percentile", 99.99)),
        ({"options": {"fit-converters": {"percentile": 99}}}, "mse", ("mse", "mse", 99)),
    ],
)
def test_options_come_from_recipe_and_arguments(recipe, given, expected):
    step = Options.gather(recipe, converters=given).passes(load_target("rram"))[-1]
    assert (step.input_method, step.adc_method, step.percentile) == expected
