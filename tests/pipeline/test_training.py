"""Fine-tuning as a part of compiling: the same bytes, interrupts, refusals, what is reported."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from cimc.errors import CimcError, ModelError
from cimc.executor import Executor
from cimc.pipeline import CompileResult, compile_model
from cimc.pipeline.training_run import CALIBRATION_SAMPLES
from cimc.program import read
from cimc.targets import load_target
from cimc.training.checkpoint import listed
from cimc.verification.reference import OnnxModel
from tests.verification.onnx_models import linear_chain

Arrays = dict[str, npt.NDArray[Any]]
TARGET = load_target("rram").changed({"noise.programming": {"sigma": "2 uS"}})


@dataclass(frozen=True)
class Task:
    """A network, and samples with its own decisions as labels."""

    model: Path
    data: Arrays

    def compiled(self, **options: Any) -> CompileResult:
        """Compile with training, quickly."""
        settings: dict[str, Any] = {
            "target": TARGET,
            "levels": 4,
            "train_data": self.data,
            "training": {"epochs": 2, "batch": 16, "keep": "last"},
        }
        return compile_model(str(self.model), **settings | options)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    model = linear_chain(tmp_path_factory.mktemp("task") / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((80, 4)).astype(np.float32)
    labels = OnnxModel(model).run({"x": x})["y"].argmax(1)
    return Task(model, {"x": x, "labels": labels})


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def code(call: Any) -> str:
    """Return the code of the error that a call ends in, and its text."""
    with pytest.raises(CimcError) as error:
        call()
    return str(error.value)


def test_two_trainings_give_the_same_bytes(task: Task, tmp_path: Path) -> None:
    for name in ("a", "b"):
        result = task.compiled(output=tmp_path / f"{name}.cim")
        assert result.report.sha256 == result.program.sha256
    assert files(tmp_path / "a.cim") == files(tmp_path / "b.cim")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cim", "b.cim"]
    task.compiled(output=tmp_path / "a.cim", seed=1)
    assert files(tmp_path / "a.cim") != files(tmp_path / "b.cim")


def test_training_changes_weights_and_the_program_runs_them(task: Task) -> None:
    trained = task.compiled()
    untrained = task.compiled(train_data=None, training=None, data={"x": task.data["x"]})
    x = {"x": task.data["x"][:5]}
    runs = [Executor(r.program, mode="ideal").run(x).outputs["y"] for r in (trained, untrained)]
    assert np.abs(runs[0] - runs[1]).max() > 1e-3
    assert untrained.report.training is None
    assert "training" not in untrained.program.provenance


class Stop:
    """Interrupts a run at the share of training given."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.said: list[str] = []

    def __call__(self, what: str, share: float) -> None:
        self.said.append(what)
        if what.startswith("finetune: ") and share >= self.share:
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_to_the_same_bytes(task: Task, tmp_path: Path) -> None:
    out, whole = tmp_path / "o.cim", tmp_path / "whole.cim"
    settings = {"training": {"epochs": 3, "batch": 16, "checkpoint_steps": 2}}
    task.compiled(output=whole, **settings)
    with pytest.raises(KeyboardInterrupt):
        task.compiled(output=out, progress=Stop(0.5), **settings)
    assert not out.exists()
    folder = tmp_path / "o.cim.training"
    assert listed(folder)
    said = code(lambda: task.compiled(output=out, **settings))
    assert said.startswith("error[CIMC-U58]: checkpoints of an interrupted training are there")
    assert str(folder) in said
    result = task.compiled(output=out, resume=True, **settings)
    assert files(out) == files(whole)
    assert not folder.exists()
    assert result.report.training is not None
    assert result.report.training.resumed


def test_resuming_from_nothing_begins_anew_and_says_so(task: Task, tmp_path: Path) -> None:
    one = task.compiled(output=tmp_path / "o.cim", resume=True)
    assert one.report.training is not None
    assert not one.report.training.resumed
    said = [w for w in one.report.warnings if "no checkpoint in" in w]
    assert said == [f"no checkpoint in {tmp_path / 'o.cim.training'}: training began anew"]
    two = task.compiled(output=tmp_path / "p.cim")
    assert files(tmp_path / "o.cim") == files(tmp_path / "p.cim")
    assert one.report.sha256 == two.report.sha256


def test_checkpoints_with_a_place_of_their_own_are_kept(task: Task, tmp_path: Path) -> None:
    kept = tmp_path / "checkpoints"
    report = task.compiled(output=tmp_path / "o.cim", checkpoint=kept).report.training
    assert report is not None
    assert report.checkpoint == str(kept)
    assert listed(kept)
    again = task.compiled(output=tmp_path / "p.cim", checkpoint=kept, resume=True)
    assert files(tmp_path / "o.cim") == files(tmp_path / "p.cim")
    assert again.report.training is not None
    assert again.report.training.resumed


def test_foreign_files_beside_checkpoints_stay(task: Task, tmp_path: Path) -> None:
    folder = tmp_path / "o.cim.training"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    task.compiled(output=tmp_path / "o.cim")
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_the_report_says_what_was_done(task: Task) -> None:
    result = task.compiled(training={"epochs": 3, "batch": 16, "validation": 0.25})
    report = result.report.training
    assert report is not None
    assert (report.epochs, report.steps) == (3, 3 * 4)  # 60 samples of 80, 16 a step
    assert (report.metric, report.chips, report.samples) == ("top1", 3, 80)
    assert report.loss.startswith("cross-entropy of output 'y'")
    assert report.loss_first > 0
    assert report.loss_last > 0
    assert report.validation_before is not None
    assert report.validation_after is not None
    assert report.kept_epoch in (0, 1, 2, 3)
    assert (report.checkpoint, report.saved_weights, report.untrained) == (None, None, ())
    assert report.seconds > 0
    json.dumps(asdict(result.report))
    names = [p.name for p in result.report.passes]
    assert names[-4:] == ["finetune", "calibrate", "assign-conductance", "fit-converters"]


def test_without_validation_there_are_no_figures_of_it(task: Task) -> None:
    report = task.compiled(training={"epochs": 1, "validation": 0}).report.training
    assert report is not None
    assert (report.metric, report.validation_before, report.validation_after) == (None,) * 3
    assert (report.kept_epoch, report.chips) == (1, 0)


def test_a_training_that_harms_is_not_kept(task: Task) -> None:
    harmful = {"epochs": 1, "learning_rate": 100.0, "clip_norm": 0}
    result = task.compiled(training=harmful)
    assert [w for w in result.report.warnings if "no epoch was better on samples held out" in w]
    assert result.report.training is not None
    assert result.report.training.kept_epoch == 0
    untrained = task.compiled(train_data=None, training=None, data={"x": task.data["x"]})
    x = {"x": task.data["x"][:5]}
    one, two = (Executor(r.program, mode="ideal").run(x).outputs["y"] for r in (result, untrained))
    np.testing.assert_array_equal(one, two)
    last = task.compiled(training=harmful | {"keep": "last"})
    (said,) = [w for w in last.report.warnings if "made the network worse" in w]
    assert last.report.training is not None
    assert f"top1 {last.report.training.validation_before:.4g} before" in said


def test_training_samples_calibrate_where_nothing_else_does(task: Task) -> None:
    result = task.compiled()
    assert result.report.training is not None
    assert result.report.training.calibrates
    assert result.program.provenance["calibration_samples"] == 80
    assert result.program.provenance["training"]["calibrates"]
    other = task.compiled(data={"x": task.data["x"][:30]})
    assert other.report.training is not None
    assert not other.report.training.calibrates
    assert other.program.provenance["calibration_samples"] == 30


def test_many_training_samples_calibrate_by_a_part_of_them(task: Task) -> None:
    x = np.random.default_rng(1).standard_normal((CALIBRATION_SAMPLES + 88, 4)).astype(np.float32)
    one = task.compiled(train_data={"x": x}, training={"epochs": 1, "batch": 300})
    assert one.program.provenance["calibration_samples"] == CALIBRATION_SAMPLES
    assert one.program.calibration is not None
    kept = one.program.calibration.inputs["x"]
    rows = [int(np.flatnonzero((x == row).all(1))[0]) for row in kept]
    assert rows == sorted(rows)
    assert rows != list(range(len(rows)))  # not simply the first: files are often sorted


def test_provenance_is_enough_to_do_it_again(task: Task, tmp_path: Path) -> None:
    settings = {"epochs": 2, "batch": 16, "effects": ["programming", "dac", "adc"], "seed": 3}
    task.compiled(output=tmp_path / "a.cim", training=settings)
    origin = read(tmp_path / "a.cim").provenance["training"]
    assert origin["samples"] == 80
    assert origin["torch"] == torch.__version__
    task.compiled(output=tmp_path / "b.cim", training=origin["recipe"])
    assert files(tmp_path / "a.cim") == files(tmp_path / "b.cim")
    np.savez_compressed(tmp_path / "t.npz", **dict(reversed(task.data.items())))
    task.compiled(output=tmp_path / "c.cim", training=settings, train_data=tmp_path / "t.npz")
    assert files(tmp_path / "a.cim") == files(tmp_path / "c.cim")
    changed = dict(task.data, labels=np.roll(task.data["labels"], 1))
    other = task.compiled(training=settings, train_data=changed).program.provenance["training"]
    assert other["data_sha256"] != origin["data_sha256"]


def test_without_labels_the_float_network_teaches(task: Task) -> None:
    report = task.compiled(
        train_data={"x": task.data["x"]}, training={"epochs": 1, "layer_weight": 0.5}
    ).report.training
    assert report is not None
    assert report.metric in ("agreement", "loss")
    assert report.loss.startswith("distance to the float network")


def squares(outputs: Any, labels: Tensor | None) -> Tensor:
    assert labels is not None
    return F.mse_loss(outputs["y"], F.one_hot(labels, 3).float())


def test_a_loss_of_the_users_own(task: Task) -> None:
    result = task.compiled(loss=squares)
    assert result.report.training is not None
    assert result.report.training.loss == "a loss of the user's own"
    assert result.program.provenance["training"]["loss"] == "squares"


def test_weights_come_back_by_their_names(task: Task, tmp_path: Path) -> None:
    result = task.compiled(
        target="ideal",
        levels=None,
        training={"epochs": 1, "noise": "none", "learning_rate": 0.1, "keep": "last"},
    )
    assert result.weights is not None
    model = onnx.load(task.model)
    for initializer in model.graph.initializer:
        if initializer.name in result.weights.weights:
            value = result.weights.weights[initializer.name]
            initializer.CopyFrom(numpy_helper.from_array(value, initializer.name))
    x = {"x": task.data["x"]}
    onnx.save(model, tmp_path / "trained.onnx")
    theirs = OnnxModel(tmp_path / "trained.onnx").run(x)["y"]
    ours = Executor(result.program, mode="ideal").run(x).outputs["y"]
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
    before = OnnxModel(task.model).run(x)["y"]
    assert np.abs(theirs - before).max() > 1e-2 * np.abs(before).max()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"resume": True}, "CIMC-U55]: --resume is given without training data"),
        ({"checkpoint": "c"}, "CIMC-U55]: a checkpoint is given without"),
        ({"training": {"epochs": 1}}, "CIMC-U55]: --epochs, or the section"),
        ({"recipe": {"training": {}}}, "CIMC-U55]: --epochs, or the section"),
        ({"loss": squares}, "CIMC-U55]: a loss is given"),
        ({"save_weights": "w.safetensors"}, "CIMC-U55]: a file for trained weights"),
        ({"training_device": "cuda"}, "CIMC-U55]: the device 'cuda'"),
    ],
)
def test_what_only_training_has_is_refused_without_data(
    task: Task, options: dict[str, Any], says: str
) -> None:
    given = {"train_data": None, "training": None} | options
    assert says in code(lambda: task.compiled(**given))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"training_device": "tpu9"}, "CIMC-U59]: the device 'tpu9' cannot be used"),
        ({"resume": True}, "CIMC-U58]: resume is given, but checkpoints have no place"),
        ({"save_weights": "w.pt"}, "CIMC-U06]: weights are saved as .safetensors or .onnx"),
        ({"save_weights": "w"}, "not without a suffix"),
        ({"training": {"activation_bits": 8}, "target": "ideal"}, "CIMC-U56]"),
        ({"training": {"levels": "step"}}, "CIMC-U50]"),
        ({"training": {"epoch": 3}}, "CIMC-U54]"),
        ({"train_data": {"x": np.zeros((4, 5), np.float32)}}, "CIMC-M72]"),
        ({"train_data": {"y": np.zeros((4, 4), np.float32)}}, "CIMC-M71]"),
        ({"train_data": "none.npz"}, "CIMC-M"),
    ],
)
def test_what_cannot_be_trained_is_refused(task: Task, options: dict[str, Any], says: str) -> None:
    assert says in code(lambda: task.compiled(**options))


def two_products(path: Path, tail: str) -> Path:
    """``x @ w1``, an operator without gradient, ``@ w2``; the same operator last if asked."""
    draw = np.random.default_rng(0)
    own = {"domain": "ai.onnx.ml", "norm": "L2"}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Normalizer", ["a"], ["b"], "own", **own),
        helper.make_node("MatMul", ["b", "w2"], ["c" if tail else "y"], "second"),
    ]
    if tail:
        nodes.append(helper.make_node("Normalizer", ["c"], ["y"], tail, **own))
    value = helper.make_tensor_value_info
    weights = [
        numpy_helper.from_array(draw.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w1", (4, 6)), ("w2", (6, 3)))
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", 1, ["n", 4])],
        [value("y", 1, ["n", 3])],
        weights,
        value_info=[value("c", 1, ["n", 3])] if tail else [],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_layers_behind_opaque_operators_are_named_and_left(tmp_path: Path) -> None:
    x = np.random.default_rng(3).standard_normal((40, 4)).astype(np.float32)
    task = Task(two_products(tmp_path / "m.onnx", ""), {"x": x})
    result = task.compiled()
    assert result.report.training is not None
    assert result.report.training.untrained == ("w1",)
    (said,) = [w for w in result.report.warnings if "was not trained" in w]
    assert said == "layer 'w1' was not trained: 'own' run in onnxruntime and have no gradient"


def test_a_network_no_gradient_reaches_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(3).standard_normal((40, 4)).astype(np.float32)
    task = Task(two_products(tmp_path / "m.onnx", "last"), {"x": x})
    with pytest.raises(ModelError) as error:
        task.compiled()
    assert error.value.code == "CIMC-M90"
    assert "last" in error.value.where
