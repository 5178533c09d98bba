"""Two processes under torchrun against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cimc.errors import UsageError
from cimc.training.checkpoint import listed
from cimc.training.parallel import Ranks, from_environment, local_device, processes

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def ran(folder: Path, count: int) -> list[dict[str, Any]]:
    folder.mkdir()
    launcher = TORCHRUN if count > 1 else []
    words = [*(["-m", *launcher] if launcher else ["-m"]), "tests.training.ranks", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=300,
        capture_output=True,
    )
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    (one,) = ran(tmp_path / "one", 1)
    both = ran(tmp_path / "two", 2)
    assert both[0] == {**both[1], "chips": both[0]["chips"]}  # the same bytes in both
    for key in ("losses", "validation"):
        assert both[0][key] == pytest.approx(one[key], rel=1e-4)
    assert both[0]["top1"] == pytest.approx(one["top1"], abs=0.051)
    # The same chips, but for steps of one sample, which the first process has no part in.
    assert set(both[1]["chips"]) == set(one["chips"]) > set(both[0]["chips"])
    assert len(listed(tmp_path / "two" / "checkpoints")) == 2


@pytest.mark.parametrize(("count", "size"), [(7, 2), (1, 3), (0, 2), (12, 4)])
def test_shares_are_a_partition_of_even_sizes(count: int, size: int) -> None:
    shares = [list(Ranks(rank, size).share(range(count))) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(count))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    parameter = torch.nn.Parameter(torch.ones(3))
    with processes("cpu") as ranks:
        assert ranks == Ranks()
        assert ranks.first
        sums = ranks.reduce_gradients([parameter], torch.tensor(2.0))
    assert [float(s) for s in sums] == [2.0]
    assert parameter.grad is None


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("x", "2"), ("0", "-1")])
def test_variables_that_make_no_sense_are_refused(
    rank: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(UsageError) as caught:
        from_environment()
    assert caught.value.code == "CIMC-U02"


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device("cuda") == "cuda:3"
    assert local_device("cuda:1") == "cuda:1"
    assert local_device("cpu") == "cpu"
