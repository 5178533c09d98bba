"""Checkpoints: whole or not at all, of this run or refused; killed runs end in the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cimc.errors import ModelError, UsageError
from cimc.training import checkpoint as checkpoints
from cimc.training.checkpoint import Checkpoint
from cimc.training.loop import fit
from cimc.training.settings import Training
from tests.training import toy

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = {"cimc": "1", "recipe": {"epochs": 3, "milestones": [1, 2]}, "loss": None}


def some(step: int) -> Checkpoint:
    # Of every layout and type there may be: 0-dimensional, empty, transposed, integers, float64.
    tensors = {
        "network/a": torch.arange(6.0).reshape(2, 3).T,
        "network/b": torch.tensor(1.5, dtype=torch.float64),
        "network/c": torch.zeros(0, 3),
        "optimizer/0/step": torch.tensor(7, dtype=torch.int64),
    }
    return Checkpoint(step, IDENTITY, {"sums": [0.1 + 0.2, 1 / 3]}, tensors)


def test_what_is_written_is_read_to_the_last_bit(tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path, some(12))
    had = checkpoints.read(path)
    assert path.name == "step-00000012.safetensors"
    assert (had.step, had.identity, had.progress) == (12, IDENTITY, some(12).progress)
    for name, tensor in some(12).tensors.items():
        torch.testing.assert_close(had.tensors[name], tensor.contiguous(), rtol=0, atol=0)
        assert had.tensors[name].dtype == tensor.dtype


def test_the_same_state_is_the_same_bytes(tmp_path: Path) -> None:
    one, other = (checkpoints.write(tmp_path / name, some(3)) for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_the_newest_two_are_kept_and_remains_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.safetensors.77.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("the user's")
    for step in (9, 10, 100):
        checkpoints.write(tmp_path, some(step))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["notes.txt", "step-00000010.safetensors", "step-00000100.safetensors"]
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[0].step == 100


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.newest(tmp_path / "missing") is None


@pytest.mark.parametrize("damage", ["cut", "garbage", "version", "no head", "empty"])
def test_a_broken_one_is_passed_over_for_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoints.write(tmp_path, some(1))
    path = checkpoints.write(tmp_path, some(2))
    content = path.read_bytes()
    broken = {
        "cut": content[:-7],
        "garbage": b"\xff" * 200,
        "version": content.replace(b'\\"version\\": 1', b'\\"version\\": 9'),
        "no head": content.replace(b"cimc-checkpoint", b"cimc-chickpoint"),
        "empty": b"",
    }[damage]
    assert broken != content
    path.write_bytes(broken)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[0].step == 1
    assert "step-00000002" in found[1][0]
    (tmp_path / "step-00000001.safetensors").write_bytes(broken)
    with pytest.raises(ModelError) as caught:
        checkpoints.newest(tmp_path)
    assert caught.value.code == "CIMC-M95"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"recipe": {"epochs": 4, "milestones": [1, 2]}}, "recipe.epochs 3, now 4"),
        ({"recipe": {"epochs": 3, "milestones": []}}, "recipe.milestones"),
        ({"cimc": "2"}, 'cimc "1", now "2"'),
        ({"loss": "mine"}, 'loss null, now "mine"'),
    ],
)
def test_another_run_is_refused_with_what_differs(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    checkpoints.same_run(some(1), IDENTITY, tmp_path)
    with pytest.raises(ModelError) as caught:
        checkpoints.same_run(some(1), IDENTITY | other, tmp_path)
    assert caught.value.code == "CIMC-M95"
    assert said in caught.value.message


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        checkpoints.write(tmp_path / "file", some(1))
    assert caught.value.code == "CIMC-U07"


def trained(training: Training, network: toy.Toy | None = None) -> bytes:
    network = network or toy.Toy()
    fit(network, training, signals_in=toy.INPUTS, signals_out=toy.OUTPUTS)
    return toy.final(network)


def test_a_run_that_failed_keeps_its_last_good_checkpoint_and_goes_on_from_it(
    tmp_path: Path,
) -> None:
    training = toy.training(toy.recipe(checkpoint_steps=5), checkpoint=tmp_path, resume=True)

    class Broken(toy.Toy):
        def after_step(self) -> None:
            if len(self.chips) > 20:
                self.first.data.fill_(float("nan"))

    with pytest.raises(ModelError, match="not finite"):
        trained(training, Broken())
    for path in checkpoints.listed(tmp_path):
        assert all(bool(t.isfinite().all()) for t in checkpoints.read(path).tensors.values())
    assert trained(training) == trained(toy.training(toy.recipe(checkpoint_steps=5)))


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = trained(toy.training(checkpoint=tmp_path))
    network = toy.Toy()
    assert trained(toy.training(checkpoint=tmp_path, resume=True), network) == first
    assert len(network.chips) == 1  # the probe


def test_a_run_that_does_not_go_on_starts_anew(tmp_path: Path) -> None:
    trained(toy.training(toy.recipe(epochs=9), checkpoint=tmp_path))
    network = toy.Toy()
    assert trained(toy.training(checkpoint=tmp_path), network) == trained(toy.training())
    assert [p.name for p in checkpoints.listed(tmp_path)][-1] == "step-00000018.safetensors"


@pytest.mark.parametrize("what", ["recipe", "data", "network", "loss"])
def test_going_on_with_anything_else_is_refused(tmp_path: Path, what: str) -> None:
    training = toy.training(checkpoint=tmp_path, resume=True)
    trained(training)
    network = toy.Toy(seed=1) if what == "network" else toy.Toy()
    changed = {
        "recipe": replace(training, recipe=toy.recipe(learning_rate=0.02)),
        "data": replace(training, data=toy.data(seed=5)),
        "network": training,
        "loss": replace(training, loss=lambda outputs, labels: outputs["y"].sum()),
    }[what]
    with pytest.raises(ModelError) as caught:
        trained(changed, network)
    assert caught.value.code == "CIMC-M95"
    assert what in caught.value.message


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_end_in_the_same_bytes(tmp_path: Path, count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.killed", str(tmp_path), str(count), "20261122"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    result = json.loads(done.stdout)
    assert len(result["runs"]) == count
    assert all(run["killed"] and run["same"] for run in result["runs"]), result
    # They did go on instead of starting anew, and left nothing half-written behind.  (A third
    # file: killed after the last was written, with nothing left to do.)
    assert sum(run["forwards"] for run in result["runs"]) < 0.8 * count * result["forwards"]
    for run in result["runs"]:
        assert 2 <= len(run["files"]) <= 3
        assert all(name.startswith("step-") for name in run["files"])
