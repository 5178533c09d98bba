"""The networks by name: how each is built, and the trained ones of the cache.

``network(name)`` has random weights; ``trained(name, seed)`` and ``onnx_path(name, seed)`` are
what ``python -m tests.training_networks.pretrain`` left in ``.cache/training``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import nn

from tests.training_networks.dense import Detection, Segmentation
from tests.training_networks.resnet import ResNet
from tests.training_networks.transformer import Transformer
from tests.training_networks.vgg import POOL as P
from tests.training_networks.vgg import Vgg
from tests.zoo.cache import CACHE, MissingError

Task = Literal["fashion", "cifar10", "gpt", "bert", "segmentation", "detection"]

FOLDER = CACHE / "training"
#: Names of the one input and the one output of every network.
INPUT, OUTPUT = "input", "output"
#: Characters of the Shakespeare networks; one more stands for a masked one.
SYMBOLS = 65


@dataclass(frozen=True, slots=True)
class Spec:
    """One architecture with the data it is for.

    Attributes:
        name: For people and files.
        task: Names the data, the loss and the metric.
        build: Returns the module with random weights from torch's global generator.
    """

    name: str
    task: Task
    build: Callable[[], nn.Module]


#: Classifiers by name: built for the channels and the side of the image [pixels].
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet8": lambda c, _: ResNet((1, 1, 1), 16, channels=c),
    "vgg8": lambda c, s: Vgg((12, 12, P, 24, 24, P, 48, 48, P), (96,), channels=c, side=s),
    "resnet20": lambda c, _: ResNet((3, 3, 3), 16, channels=c),
    # [GDQ Table 2]: six convolutions and two linear layers, here after a pooling of the image.
    "vgglike": lambda c, s: Vgg((P, 24, 24, P, 32, 32, P, 64, 64, P), (128,), channels=c, side=s),
    "vgg11": lambda c, s: Vgg(
        (16, P, 32, P, 48, 48, P, 64, 64, P, 64, 64, P), (64, 64), channels=c, side=s
    ),
    "resnet18": lambda c, _: ResNet((2, 2, 2, 2), 12, channels=c),
}

_OTHERS = (
    Spec("gpt", "gpt", lambda: Transformer(SYMBOLS, SYMBOLS, causal=True)),
    Spec("bert", "bert", lambda: Transformer(SYMBOLS + 1, SYMBOLS, causal=False)),
    Spec("segmentation", "segmentation", Segmentation),
    Spec("detection", "detection", Detection),
)


def _specs() -> dict[str, Spec]:
    found = {n: Spec(n, "fashion", partial(b, 1, 28)) for n, b in CLASSIFIERS.items()}
    found |= {spec.name: spec for spec in _OTHERS}
    for name, build in CLASSIFIERS.items():
        called = f"{name}-cifar10"
        found[called] = Spec(called, "cifar10", partial(build, 3, 32))
    return found


#: Every network; those for CIFAR-10 are ``NAME-cifar10``.
NETWORKS = _specs()


def network(name: str, seed: int = 0) -> nn.Module:
    """Return a network with random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name].build().eval()


def trained(name: str, seed: int = 0) -> nn.Module:
    """Return a pretrained network in evaluation mode.

    Raises:
        MissingError: It has not been pretrained; the message names the command.
    """
    module = network(name)
    module.load_state_dict(load_file(_there(name, seed, "safetensors")))
    return module


def onnx_path(name: str, seed: int = 0) -> Path:
    """Return the ONNX file of a pretrained network; MissingError if there is none."""
    return _there(name, seed, "onnx")


def record(name: str, seed: int = 0) -> dict[str, Any]:
    """Return what pretraining noted: ``metrics`` on the test split, ``seconds``, settings."""
    found: dict[str, Any] = json.loads(_there(name, seed, "json").read_bytes())
    return found


def _there(name: str, seed: int, suffix: str) -> Path:
    path = FOLDER / f"{name}-seed{seed}.{suffix}"
    if not path.is_file():
        raise MissingError(
            f"{path.name} is not there; run: python -m tests.training_networks.pretrain {name}"
        )
    return path
