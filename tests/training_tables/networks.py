"""The networks of the tables as a job takes them: files, data, metric, loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tests.training_networks import data, losses, metrics
from tests.training_networks.images import Split
from tests.training_networks.networks import (
    FOLDER,
    INPUT,
    NETWORKS,
    OUTPUT,
    Task,
    network,
    onnx_path,
)
from tests.zoo.exported import export
from tests.zoo.task import reference

Arrays = Mapping[str, npt.NDArray[Any]]

#: Calibration samples: converter ranges, quantizers [-].
CALIBRATION: Final = 256
#: Training samples a worker holds [-].
MOST: Final = 40_000
#: Test samples of tasks that are scored sample by sample; others see fewer on every chip [-].
TEST, TEST_DENSE = 10_000, 300
#: Samples whose statistics a random network's BatchNorms get [-].
_STATISTICS: Final = 512

#: Metric that a table shows of each task, its unit, and whether more is better.
SHOWN: Final = {
    "fashion": ("top1", "top-1 [%]", 100.0, True),
    "cifar10": ("top1", "top-1 [%]", 100.0, True),
    "gpt": ("perplexity", "perplexity", 1.0, False),
    "bert": ("perplexity", "perplexity", 1.0, False),
    "segmentation": ("miou", "mIoU [%]", 100.0, True),
    "detection": ("map50", "mAP [%]", 100.0, True),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """One float network with what it is trained and scored on.

    Attributes:
        name: In :mod:`tests.training_networks`.
        onnx: The trained network.
        calibration: Inputs.
        train: Inputs and labels; disjoint from all others.
        test: Inputs and labels that figures are of.
        score: Of outputs by name, given the labelled data.
        loss: What the recipe's cross-entropy cannot do; None: that.
        shared: Each chip scores its own share of the test samples; otherwise every chip all.
    """

    name: str
    onnx: Path
    calibration: Arrays
    train: Arrays
    test: Arrays
    score: Callable[[Arrays, Arrays], float]
    loss: losses.Loss | None
    shared: bool


def shown(name: str) -> tuple[str, bool]:
    """Return the unit of a network's figures and whether more is better."""
    _, unit, _, more = SHOWN[NETWORKS[name].task]
    return unit, more


@cache
def _data(task: Task, split: Split, samples: int) -> Arrays:
    """Return data of a task; networks of one task share it."""
    return data.task_data(task, split, samples)


@cache
def load(name: str, split: Split = "test") -> Trained:
    """Return a network with its data; kept, as a worker runs many jobs of one network.

    Args:
        name: Of the network.
        split: What it is scored on: ``test`` for figures, ``validation`` for choosing settings.

    Raises:
        MissingError: It was not pretrained.
    """
    task = NETWORKS[name].task
    metric, _, unit, _ = SHOWN[task]
    dense = task in ("segmentation", "detection")

    def score(outputs: Arrays, given: Arrays) -> float:
        return unit * metrics.score(task, outputs[OUTPUT], given["labels"])[metric]

    calibration = {INPUT: _data(task, "calibration", CALIBRATION)[INPUT]}
    return Trained(
        name,
        onnx_path(name),
        calibration,
        _data(task, "train", MOST),
        _data(task, split, TEST_DENSE if dense else TEST),
        score,
        None if task in ("fashion", "cifar10") else losses.LOSSES[task],
        not dense,
    )


def float_score(name: str) -> float:
    """Return the metric of the float network on the test samples of the tables; kept on disk."""
    path = onnx_path(name)
    kept = FOLDER / "tables-float" / f"{name}-{sha256(path.read_bytes()).hexdigest()[:16]}.txt"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(repr(_float_score(name)), encoding="utf-8")
    return float(kept.read_text(encoding="utf-8"))


def _float_score(name: str) -> float:
    trained = load(name)
    run = reference(trained.onnx)
    inputs = trained.test[INPUT]
    parts = [run({INPUT: inputs[k : k + 250]})[OUTPUT] for k in range(0, len(inputs), 250)]
    return trained.score({OUTPUT: np.concatenate(parts)}, trained.test)


def scratch(name: str, seed: int) -> Path:
    """Return an ONNX file of a network with random weights.

    The compiler folds BatchNorms, so theirs are the statistics of some training samples: what a
    first step of training in torch would normalize with.
    """
    path: Path = FOLDER / f"{name}-scratch{seed}.onnx"
    if not path.is_file():
        module = network(name, seed)
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # the mean over all that is seen
        inputs = torch.from_numpy(load(name).train[INPUT][:_STATISTICS])
        with torch.no_grad():
            module.train()(inputs)
        whole = path.with_suffix(".whole.onnx")
        whole.unlink(missing_ok=True)
        export(module.eval(), whole, (inputs[:2],), [INPUT], [OUTPUT])
        whole.replace(path)
    return path
