"""Networks of the tables that study training itself: compiled up to converter ranges, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cimc.frontends.dispatch import import_model
from cimc.ir.network import Network
from cimc.passbase import PassContext
from cimc.pipeline.options import Options
from cimc.targets import Target, load_target
from cimc.training.recipe import Recipe
from cimc.training.settings import Training
from cimc.verification.data import check_data
from tests.training_networks.data import network_data
from tests.training_networks.networks import INPUT, onnx_path
from tests.training_tables.networks import scratch
from tests.training_tables.ste import lognormal
from tests.zoo.cache import CACHE, ROOT

PICTURES: Final = ROOT / "docs" / "pictures"
#: Samples that converter ranges and levels are fitted to [-].
CALIBRATION: Final = 256
#: As in [STE Table II] here.
OPTIONS: Final[dict[str, Any]] = {"levels": 16, "quantizer": "lloyd", "per_column": False}
CHIP: Final = Path(__file__).parent / "ste.yaml"


def chip(level: float) -> Target:
    """Return the chip of [STE] Table II here at a level of noise."""
    return load_target(CHIP).changed(lognormal(level))  # type: ignore[arg-type]


@cache
def compiled(name: str, random: int | None = None) -> Network:
    """Return a network with cells and converter ranges; these do not depend on noise.

    Args:
        name: In :mod:`tests.training_networks`.
        random: Seed of random weights; None: the pretrained network.
    """
    network = import_model(onnx_path(name) if random is None else scratch(name, random))
    given = network_data(name, "calibration", CALIBRATION)
    del given["labels"]
    data, target = check_data(given, network.inputs), chip(1)
    context = PassContext(target, data, 0, training=Training(data, Recipe()))
    for step in Options.gather(None, **OPTIONS).passes(target):
        if step.name == "finetune":
            break
        network = step.run(network, context)
    return network


def samples(name: str, count: int) -> tuple[Tensor, Tensor]:
    """Return inputs and labels of the training split."""
    given = network_data(name, "train", count)
    return torch.from_numpy(given[INPUT]), torch.from_numpy(given["labels"])


def loss_of(outputs: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Return the cross-entropy of classes, or of the characters at every place."""
    logits = outputs[0].reshape(-1, outputs[0].shape[-1])
    return cross_entropy(logits, labels.reshape(-1), ignore_index=-100)


def kept(folder: str, name: str, make: Callable[[], Any]) -> Any:
    """Return what was found before, or find it now and keep it in ``.cache/training``."""
    path = _path(folder, name)
    if not path.is_file():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(found), encoding="utf-8")
        partial.replace(path)
    return json.loads(path.read_text(encoding="utf-8"))


def there(folder: str, name: str) -> bool:
    """Whether something was found before."""
    return _path(folder, name).is_file()


def _path(folder: str, name: str) -> Path:
    return CACHE / "training" / folder / f"{name}.json"
