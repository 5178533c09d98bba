"""From a network to a program and its results, for every way cells can hold a weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from cimc.errors import UsageError
from cimc.executor import Executor
from cimc.pipeline import compile_model
from cimc.program import read
from cimc.targets import load_target
from tests.passes.networks import model, rng

SLICES = {"count": 4, "multipliers": "digital"}
SUMMED = {"count": 4, "multipliers": "conductance"}
STATES = [f"{v} uS" for v in (2.1, 4, 5, 7, 9, 10, 12, 16, 17.85)]
LAYOUTS = {
    "pair": {},
    "twin": {"pair.placement": "twin-arrays"},
    "offset": {"encoding": "offset-column"},
    "offset-states": {
        "encoding": "offset-column", "cell.states": STATES, "cell.default_levels": 9
    },
    "sliced": {"encoding": "bit-sliced", "slices": SLICES},
    "sliced-binary": {
        "encoding": "bit-sliced", "slices": SLICES, "cell.states": ["2.1 uS", "17.85 uS"]
    },
    "summed": {"encoding": "bit-sliced", "slices": SUMMED},
}  # fmt: skip


def target(layout: str, **changes: object):
    """Arrays so small that layers take several tiles, fine converters, no noise."""
    return load_target("rram").changed({
        "array.rows": 36, "array.columns": 12, "read.dac_bits": 12, "adc.bits": 16,
        "noise.programming": None, "noise.read": None, **LAYOUTS[layout], **changes,
    })  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """Convolution, depthwise convolution, transposed convolution, two matrices, an LSTM."""
    r = rng()

    def normal(*shape):
        return (r.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], pads=[1] * 4, group=5),
        helper.make_node("ConvTranspose", ["c", "w3"], ["d"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["g"], transB=1),
        helper.make_node("Unsqueeze", ["g", "zero"], ["h"]),
        helper.make_node("LSTM", ["h", "wl", "rl"], ["i", "", ""], hidden_size=4),
        helper.make_node("Squeeze", ["i"], ["j"]),
        helper.make_node("MatMul", ["j", "w5"], ["y"]),
    ]
    constants = {
        "w1": normal(5, 2, 3, 3), "w2": normal(5, 1, 3, 3), "b2": normal(5),
        "w3": normal(5, 3, 2, 2), "w4": normal(6, 3), "b4": normal(6), "wl": normal(1, 16, 6),
        "rl": normal(1, 16, 4), "w5": normal(4, 3), "zero": np.array([0]),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(model(nodes, {"x": ["n", 2, 6, 6]}, {"y": ["n", 3]}, constants), path)
    return path


def samples(count: int, seed: int) -> dict[str, np.ndarray]:
    return {"x": rng(seed).standard_normal((count, 2, 6, 6)).astype(np.float32)}


@pytest.mark.parametrize(("per_column", "calibrated"), [(False, True), (True, False)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_program_computes_the_quantized_network(
    tmp_path, network, layout, per_column, calibrated
):
    """That ideal results are those of the quantized network is checked while compiling."""
    result = compile_model(
        network,
        target=target(layout),
        per_column=per_column,
        data=samples(40, 1) if calibrated else None,
        output=tmp_path / "p.cim",
    )
    program = read(tmp_path / "p.cim")
    assert program.sha256 == result.program.sha256
    x = samples(20, 2)
    ideal = Executor(program, mode="ideal").run(x).outputs["y"]
    fine = Executor(program, mode="noise-free").run(x).outputs["y"]
    scale = np.abs(ideal).max()
    # 12 and 16 bits round by about 3e-4 of the range each; the current of an offset is about ten
    # times that of the differences, and without data ranges are wide.
    assert np.abs(fine - ideal).max() < (0.02 if calibrated else 0.05) * scale
    assert np.sqrt(np.square(fine - ideal).mean()) < (0.003 if calibrated else 0.01) * scale


@pytest.mark.parametrize("layout", ["sliced", "summed"])
def test_signs_of_inputs_and_drives_do_not_change_results(network, layout):
    """What offsets add with the sum of inputs is right for every way to drive them."""
    x, data = samples(20, 2), samples(40, 1)
    results = []
    for drive, signed in (
        ("parallel", "bipolar"),
        ("parallel", "two-phase"),
        ("parallel", "shift"),
        ("bit-serial", "bipolar"),
        ("bit-serial", "two-phase"),
    ):
        changed = target(layout, **{"read.drive": drive, "read.signed_inputs": signed})
        program = compile_model(network, target=changed, data=data).program
        results.append(Executor(program, mode="noise-free").run(x).outputs["y"])
    for other in results[1:]:
        assert np.abs(other - results[0]).max() < 0.03 * np.abs(results[0]).max()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"quantizer": "lloyd"}, "hold bits"),
        ({"levels": 8}, "4 slices a weight have 16"),
        ({"levels": 32, "quantizer": "uniform"}, "4 slices a weight have 16"),
    ],
)
def test_what_slices_cannot_hold(network, options, text):
    with pytest.raises(UsageError, match=text) as caught:
        compile_model(network, target=target("sliced"), **options)
    assert caught.value.code == "CIMC-U38"


def test_sums_of_multipliers_on_pairs(network):
    """The quantizer is not only for slices: pairs hold any levels."""
    program = compile_model(
        network, target=target("pair"), quantizer="n-multiplier", levels=8
    ).program
    assert Executor(program, mode="ideal").run(samples(3, 2)).outputs["y"].shape == (3, 3)
    with pytest.raises(UsageError) as caught:
        compile_model(network, target=target("pair"), quantizer="n-multiplier", levels=12)
    assert caught.value.code == "CIMC-U37"


EFFECTS = {
    "noise.programming": {"sigma": "0.001 uS"},
    "noise.device_to_device": {"sigma_lrs": 1e-4, "sigma_hrs": 1e-4},
    "noise.correlated": {"sigma_relative": 1e-4, "length": 4.0},
    "noise.read": {"sigma_relative": 1e-4},
    "noise.drift": {"nu": 1e-4, "t0": "1 s", "compensation": "per-column"},
    "noise.relaxation": {"rate": 1e-5, "sigma_relative": 1e-5},
    "noise.thermal": {"temperature": "301 K", "tc_lrs_per_k": 1e-4, "bandwidth": "1 MHz"},
    "wires.word_line": "0.01 ohm",
    "wires.bit_line": "0.01 ohm",
    "adc.offset_lsb": 0.1,
    "adc.gain_sigma": 1e-4,
    "adc.noise_lsb": 0.1,
    "read.at": "100 s",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_small_effects_change_results_a_little(network, layout):
    """Every effect at once reaches the cells of every layout; none is out of proportion."""
    x, data = samples(12, 2), samples(40, 1)
    program = compile_model(network, target=target(layout, **EFFECTS), data=data).program
    fine = Executor(program, mode="noise-free").run(x).outputs["y"]
    scale = np.abs(fine).max()
    chips = [Executor(program, mode="chip", seed=k).run(x).outputs["y"] for k in (0, 0, 1)]
    assert np.array_equal(chips[0], chips[1])
    for chip in (chips[0], chips[2]):
        error = np.sqrt(np.square(chip - fine).mean()) / scale
        assert 1e-5 < error < 0.02
    assert not np.array_equal(chips[0], chips[2])
