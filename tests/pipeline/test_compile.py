import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import cimc
from cimc.errors import FitError, InternalError, ModelError, ProgramError, UsageError
from cimc.ops import activation
from cimc.pipeline import compile_model
from cimc.pipeline.agreement import compare
from cimc.targets import load_target
from tests.passes.networks import model, rng


@pytest.fixture
def digits_like(tmp_path) -> Path:
    r = rng()
    f32 = np.float32
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="conv1", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="relu1"),
        helper.make_node(
            "MaxPool", ["b"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Flatten", ["c"], ["d"], name="flatten"),
        helper.make_node("Gemm", ["d", "w2", "b2"], ["y"], name="fc", transB=1),
    ]
    constants = {
        "w1": r.standard_normal((8, 1, 3, 3)).astype(f32),
        "w2": (r.standard_normal((10, 8 * 16)) / 8).astype(f32),
        "b2": r.standard_normal(10).astype(f32),
    }
    path = tmp_path / "net.onnx"
    onnx.save(model(nodes, {"x": ["n", 1, 8, 8]}, {"y": ["n", 10]}, constants), path)
    return path


@pytest.fixture
def data():
    return {"x": np.abs(rng(4).standard_normal((40, 1, 8, 8))).astype(np.float32)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("target", ["ideal", "rram"])
def test_two_compiles_give_the_same_bytes(digits_like, data, tmp_path, with_data, target):
    written = []
    for name in ("a", "b"):
        result = compile_model(
            digits_like,
            target=target,
            data=data if with_data else None,
            output=tmp_path / f"{name}.cim",
        )
        assert result.report.sha256 == result.program.sha256
        written.append(files(tmp_path / f"{name}.cim"))
    assert written[0] == written[1]
    assert ("calibration.safetensors" in written[0]) == with_data


def test_another_seed_is_recorded(digits_like, tmp_path):
    for seed in (0, 1):
        compile_model(digits_like, target="rram", seed=seed, output=tmp_path / f"{seed}.cim")
    assert files(tmp_path / "0.cim")["program.yaml"] != files(tmp_path / "1.cim")["program.yaml"]


def test_a_program_read_back_runs_the_same(digits_like, data, tmp_path):
    result = compile_model(digits_like, target="rram", data=data, output=tmp_path / "n.cim")
    again = cimc.load(tmp_path / "n.cim")
    for mode in ("ideal", "noise-free", "chip"):
        one = cimc.run(result.program, data, mode=mode, seed=3)
        two = cimc.run(again, data, mode=mode, seed=3)
        np.testing.assert_array_equal(one["y"], two["y"])


def test_a_data_file_is_run_as_its_arrays_are(digits_like, data, tmp_path):
    program = cimc.compile(digits_like, target="rram")
    np.savez(tmp_path / "x.npz", **data, labels=np.zeros(40, np.int64))
    one, two = cimc.run(program, data), cimc.run(program, tmp_path / "x.npz")
    np.testing.assert_array_equal(one["y"], two["y"])


def test_the_report_says_what_was_made(digits_like, data, tmp_path):
    report = compile_model(
        digits_like, target="rram", data=data, check=True, output=tmp_path / "n.cim"
    ).report
    assert (report.layers, report.analog_layers, report.opaque_ops) == (2, 2, 0)
    assert report.weights == report.analog_weights == 72 + 1280
    assert (report.arrays, report.array_rows, report.array_columns) == (1, 256, 256)
    assert report.cell_utilization == pytest.approx(2 * (72 + 1280) / 65536)
    assert report.import_error < 1e-5
    assert report.snr_db > 15
    assert report.passes[0].name == "canonicalize"
    snr = {p.name: p.snr_db for p in report.passes}
    assert snr["partition"] > 100 > snr["quantize"] > 15
    quantize = next(p for p in report.passes if p.name == "quantize")
    assert set(quantize.layers_snr_db) == {"conv1", "fc"}
    json.dumps(asdict(report))


def test_calibration_can_be_left_out(digits_like, data, tmp_path):
    compile_model(
        digits_like, target="rram", data=data, keep_calibration=False, output=tmp_path / "n.cim"
    )
    assert "calibration.safetensors" not in files(tmp_path / "n.cim")


def test_dumped_passes_are_texts_in_order(digits_like, tmp_path):
    compile_model(digits_like, target="rram", dump_passes=tmp_path / "dump")
    names = [p.name for p in sorted((tmp_path / "dump").iterdir())]
    assert names[0] == "00-import.txt"
    assert names[4] == "04-quantize.txt"
    text = (tmp_path / "dump" / "08-fit-converters.txt").read_text()
    assert text.startswith("network @assigned batched\n  input x float32['n', 1, 8, 8]\n")
    assert "layer w1 conv 1x9x8" in text


def test_a_recipe_sets_options_and_arguments_win(digits_like, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "levels: 4\nquantizer: uniform\noptions:\n  canonicalize:\n    fold_batch_norm: false\n"
    )
    program = compile_model(digits_like, target="rram", recipe=recipe, levels=6).program
    steps = {s["pass"]: s["options"] for s in program.provenance["pipeline"]}
    assert steps["quantize"]["levels"] == 6
    assert steps["quantize"]["quantizer"] == "uniform"
    assert steps["canonicalize"]["fold_batch_norm"] is False


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"level": 4}, "unknown option 'level'"),
        ({"levels": 1}, "from 2 to 256"),
        ({"levels": 4, "bits": 2}, "levels or bits"),
        ({"options": {"quantise": {}}}, "unknown pass 'quantise'"),
        ({"options": {"quantize": {"colour": 1}}}, "no option 'colour'"),
        ({"quantizer": "magic"}, "unknown quantizer 'magic'"),
    ],
)
def test_a_bad_recipe_is_refused(digits_like, recipe, message):
    with pytest.raises(UsageError, match=message):
        compile_model(digits_like, target="rram", recipe=recipe)


def test_a_chip_too_small_is_refused_and_nothing_is_written(digits_like, tmp_path):
    tiny = load_target("rram-tiny").changed({"array.rows": 16, "array.columns": 4})
    with pytest.raises(FitError):
        compile_model(digits_like, target=tiny, output=tmp_path / "n.cim")
    assert not (tmp_path / "n.cim").exists()


def test_an_unknown_kind_of_model_is_refused():
    with pytest.raises(ModelError) as e:
        compile_model({"not": "a model"}, target="rram")
    assert e.value.code == "CIMC-M49"


def test_an_import_that_computes_something_else_is_refused(digits_like, monkeypatch, tmp_path):
    """Break an operator: the check against onnxruntime must notice."""
    import torch

    monkeypatch.setattr(torch, "relu", lambda x: x.clamp(min=-0.1))
    monkeypatch.setattr(activation.F, "relu", lambda x, *a, **k: x.clamp(min=-0.1), raising=False)
    with pytest.raises(InternalError) as e:
        compile_model(digits_like, target="ideal", output=tmp_path / "n.cim")
    assert e.value.code == "CIMC-I02"
    assert not (tmp_path / "n.cim").exists()


def test_agreement_sees_nan_shapes_and_discrete_results():
    good = {"y": np.array([1.0, np.nan, 2.0]), "i": np.array([1, 2])}
    assert compare(good, good).relative == 0
    moved = {"y": np.array([1.0, 2.0, np.nan]), "i": np.array([1, 3])}
    assert compare(moved, good).relative == np.inf
    assert compare(moved, good).mismatches == 0.5
    assert compare({**good, "y": good["y"][:2]}, good).relative == np.inf
    near = {"y": np.array([1.0, np.nan, 2.02]), "i": good["i"]}
    assert compare(near, good).relative == pytest.approx(0.01)


def test_what_cannot_be_replaced_is_refused_before_the_work(digits_like, tmp_path, monkeypatch):
    monkeypatch.setattr("cimc.pipeline.compile.import_model", None)
    taken = tmp_path / "notes"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years")
    with pytest.raises(ProgramError, match="CIMC-P25"):
        compile_model(digits_like, target="rram", output=taken)


def test_a_model_nothing_runs_on_says_why(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = {"w": np.ones((4, 3), np.float32)}
    network = model(nodes, {"x": [2, 3]}, {"y": [2, 3]}, weights)
    (warning,) = compile_model(network, target="rram").report.warnings
    assert "not checked against onnxruntime" in warning
    assert "CIMC-M16" not in warning
    assert "onnxruntime, the float reference, refuses" in warning
