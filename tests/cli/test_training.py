"""``cimc compile --train-data``: what is shown, what is refused, what an interrupt says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cimc.cli.training import show_training
from cimc.pipeline.report import TrainingReport
from tests.cli.conftest import Call, Done, Files
from tests.cli.test_documentation import PAGE

#: Contract: documented and stable.
KEYS = (
    "epochs steps loss loss_first loss_last metric validation_before validation_after kept_epoch "
    "chips samples seconds checkpoint resumed calibrates untrained saved_weights"
)


def compiled(call: Call, files: Files, out: Path, *more: Any) -> Done:
    given = ("compile", files.model, "--target", "rram", "-o", out, "--levels", 4, "--json")
    return call(*given, "--train-data", files.data, *more)


def test_training_is_summarized(call: Call, files: Files, tmp_path: Path) -> None:
    done = compiled(call, files, tmp_path / "o.cim", "--epochs", 2)
    assert done.code == 0, done.err
    report = done.json["training"]
    assert set(report) == set(KEYS.split())
    assert (report["epochs"], report["steps"], report["samples"]) == (2, 2, 40)
    assert re.search(r"trained for the device\n  samples +40; some are the calibration", done.err)
    assert re.search(r"steps +2 in 2 epochs, \d+\.\d s\n", done.err)
    assert re.search(r"validation, right +\S+ % before, \S+ % after; on 3 chips", done.err)
    assert [p.name for p in tmp_path.iterdir()] == ["o.cim"]
    origin = call("inspect", tmp_path / "o.cim", "--json").json["provenance"]["training"]
    assert origin["recipe"]["epochs"] == 2


def test_its_keys_are_documented(call: Call, files: Files, tmp_path: Path) -> None:
    start = PAGE.index("\n`compile`")
    text = PAGE[start : PAGE.index("\n\n", start)]
    assert set(KEYS.split()) | {"training"} <= set(re.findall(r"`([a-z0-9_]+)`", text))


def test_a_recipe_says_how(call: Call, files: Files, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("training:\n  epochs: 3\n  batch: 16\n  validation: 0\n")
    done = compiled(call, files, tmp_path / "o.cim", "--recipe", recipe, "--epochs", 1)
    assert done.code == 0, done.err
    assert (done.json["training"]["epochs"], done.json["training"]["steps"]) == (1, 3)
    assert "validation" not in done.err


def test_weights_are_saved_by_name(call: Call, files: Files, tmp_path: Path) -> None:
    model, alone = tmp_path / "trained.onnx", tmp_path / "w.safetensors"
    done = compiled(call, files, tmp_path / "o.cim", "--save-weights", model)
    assert done.code == 0, done.err
    assert done.json["training"]["saved_weights"] == str(model)
    assert str(model) in done.err
    compiled(call, files, tmp_path / "o.cim", "--save-weights", alone)
    from safetensors.numpy import load_file

    found = load_file(alone)
    theirs = {i.name: numpy_helper.to_array(i) for i in onnx.load(model).graph.initializer}
    before = {i.name: numpy_helper.to_array(i) for i in onnx.load(files.model).graph.initializer}
    assert {"w1", "w2", "b"} <= found.keys() <= theirs.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(theirs[name], value)
    assert not np.array_equal(before["w2"], found["w2"])


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--resume",), 2, "CIMC-U55"),
        (("--epochs", 2), 2, "CIMC-U55"),
        (("--checkpoint", "c"), 2, "CIMC-U55"),
        (("--save-weights", "w.onnx"), 2, "CIMC-U55"),
        (("--training-device", "cpu:7x"), 2, "CIMC-U55"),
        (("--train-data", "{data}", "--training-device", "tpu9"), 2, "CIMC-U59"),
        (("--train-data", "{data}", "--save-weights", "w.txt"), 2, "CIMC-U06"),
        (("--train-data", "{data}", "--recipe", "{recipe}"), 2, "CIMC-U54"),
        (("--train-data", "none.npz"), 3, "CIMC-M"),
        (("--train-data", "{data}", "--epochs", 0), 2, "CIMC-U01"),
    ],
)
def test_what_is_refused(
    call: Call, files: Files, tmp_path: Path, options: tuple[Any, ...], code: int, says: str
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("training:\n  optimiser: adam\n")
    given = [str(o).format(data=files.data, recipe=recipe) for o in options]
    done = call("compile", files.model, "--target", "rram", "-o", tmp_path / "o.cim", *given)
    assert (done.code, says in done.err) == (code, True), done.err
    assert not (tmp_path / "o.cim").exists()
    if says == "CIMC-U54":
        assert f"{recipe}:2:3" in done.err
        assert "try 'optimizer'" in done.err


def test_an_interrupt_says_how_to_go_on(
    call: Call, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cimc.training import telling

    original = telling.Telling.step

    def interrupt(self: telling.Telling, step: int, epoch: int, loss: float) -> None:
        original(self, step, epoch, loss)
        if step == 2:
            raise KeyboardInterrupt

    out = tmp_path / "o.cim"
    with monkeypatch.context() as patch:
        patch.setattr(telling.Telling, "step", interrupt)
        done = compiled(call, files, out, "--epochs", 3)
    assert done.code == 130
    assert done.err.split("\n") == [
        f"training goes on from {out}.training with --resume",
        *("", "interrupted; nothing was left half-written", ""),
    ]
    assert not out.exists()
    again = compiled(call, files, out, "--epochs", 3)
    assert (again.code, "CIMC-U58" in again.err) == (2, True)
    done = compiled(call, files, out, "--epochs", 3, "--resume")
    assert done.code == 0, done.err
    assert done.json["training"]["resumed"]
    assert [p.name for p in tmp_path.iterdir()] == ["o.cim"]
    whole = compiled(call, files, tmp_path / "whole.cim", "--epochs", 3)
    assert whole.json["sha256"] == done.json["sha256"]


def test_other_settings_do_not_go_on(call: Call, files: Files, tmp_path: Path) -> None:
    kept = ("--checkpoint", tmp_path / "c")
    assert compiled(call, files, tmp_path / "o.cim", *kept, "--epochs", 1).code == 0
    done = compiled(call, files, tmp_path / "o.cim", *kept, "--epochs", 2, "--resume")
    assert (done.code, "CIMC-M95" in done.err) == (3, True)


@pytest.mark.parametrize("metric", ["top1", "agreement", "loss", None])
def test_every_figure_has_words(metric: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    report = TrainingReport(
        1, 2, "own", 3.0, 2.0, metric, 0.25, 0.5, 1, 3, 10, 1.0, "dir", False, False
    )
    show_training(report)
    said = capsys.readouterr().err
    assert ("0.25 before, 0.5 after" in said) == (metric == "loss")
    assert ("25.00 % before, 50.00 % after" in said) == (metric in ("top1", "agreement"))
    assert "checkpoints" in said


def test_one_process_of_several_reports(
    call: Call, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cimc.training.parallel import Ranks

    for place in ("cimc.pipeline.compile", "cimc.training.parallel"):
        monkeypatch.setattr(f"{place}.from_environment", lambda: Ranks(1, 2))
    monkeypatch.setattr("cimc.training.loop.processes", _alone)
    done = compiled(call, files, tmp_path / "o.cim", "--epochs", 1)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert not (tmp_path / "o.cim").exists()


def _alone(device: object) -> Any:
    from contextlib import nullcontext

    from cimc.training.parallel import Ranks

    return nullcontext(Ranks())
