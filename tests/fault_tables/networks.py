"""The networks of the tables: file, data, metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.training_tables import networks as trained
from tests.training_tables.onnx_cases import CASES, Case
from tests.zoo import resnet8
from tests.zoo.cache import CACHE
from tests.zoo.fashion import fashion
from tests.zoo.task import Array, reference

Arrays = Mapping[str, Array]
#: The network of issue tables: Fashion-MNIST, trained by :mod:`tests.zoo.resnet8`.
RESNET8: Final = "resnet8-fashion"
_FLOAT: Final = CACHE / "faults" / "float"


@dataclass(frozen=True, slots=True)
class Tested:
    """One float network with its data; nothing it is tested on is calibrated or trained on.

    Attributes:
        name: Of the network.
        model: The ONNX file.
        metric: What ``score`` returns, for tables.
        calibration: Inputs.
        train: Training inputs with labels.
        test: Inputs.
        score: Of outputs by name.
        batch: Samples run at once [-].
        single: The file is for one sample at a time.
    """

    name: str
    model: Path
    metric: str
    calibration: Arrays
    train: Callable[[], Arrays]
    test: Arrays
    score: Callable[[Arrays], float]
    batch: int = 250
    single: bool = False


@cache
def load(name: str) -> Tested:
    """Return a network with its data; kept, as a worker runs many jobs of one network.

    Raises:
        MissingError: A file is not there; the message says how to get it.
    """
    if name == RESNET8:
        return _resnet8()
    return _of_case(CASES[name]) if name in CASES else _of_task(name)


def _resnet8() -> Tested:
    images, labels = fashion("t10k")

    def train() -> Arrays:
        x, y = fashion("train")
        return {"image": x, "labels": y}

    def score(outputs: Arrays) -> float:
        return 100 * float(np.mean(outputs["logits"].argmax(1) == labels))

    data = resnet8.calibration()
    test = {"image": images}
    return Tested(RESNET8, resnet8.PATH, "top-1 [%]", data, train, test, score)


def _of_case(case: Case) -> Tested:
    def score(outputs: Arrays) -> float:
        right, of = case.judge(outputs[case.output], slice(None))
        return 100 * right / of

    return Tested(
        case.name, case.model(), f"{case.metric} [%]", case.calibration(), case.train,
        case.test(), score, case.batch, single=case.name == "mnist-conv",
    )  # fmt: skip


def _of_task(name: str) -> Tested:
    found = trained.load(name)
    inputs = {n: a for n, a in found.test.items() if n != "labels"}
    return Tested(
        name, found.onnx, trained.shown(name)[0], found.calibration, lambda: found.train, inputs,
        lambda outputs: found.score(outputs, found.test),
    )  # fmt: skip


def first(data: Arrays, samples: int) -> dict[str, Any]:
    """Return the first samples of data."""
    return {name: array[:samples] for name, array in data.items()}


def float_score(name: str) -> float:
    """Return the metric of the float network, as onnxruntime runs it; kept on disk."""
    network = load(name)
    kept = _FLOAT / f"{name}-{sha256(network.model.read_bytes()).hexdigest()[:16]}.txt"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(repr(_float_score(network)), encoding="utf-8")
    return float(kept.read_text(encoding="utf-8"))


def _float_score(network: Tested) -> float:
    run, step = reference(network.model), 1 if network.single else network.batch
    count = len(next(iter(network.test.values())))
    parts = [
        run({n: a[k : k + step] for n, a in network.test.items()}) for k in range(0, count, step)
    ]
    return network.score({n: np.concatenate([p[n] for p in parts]) for n in parts[0]})
