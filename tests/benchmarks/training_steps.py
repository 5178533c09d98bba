"""Training steps of ResNet-20 in each of the ways that are compared, batch 64, BatchNorms folded.

A step is all that training does for a batch: forward pass, loss, backward pass, optimizer.  On the
device it programs a new chip from the weights as they are before, and runs the tests that keep the
levels of the quantizer up to date after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimc.frontends.dispatch import import_model
from cimc.ir.network import Network
from cimc.passbase import PassContext
from cimc.pipeline.options import Options
from cimc.pipeline.runner import Runner
from cimc.targets import Target, load_target
from cimc.training.recipe import Recipe
from cimc.training.settings import Training
from cimc.verification.data import Data
from tests.benchmarks import peers
from tests.benchmarks.executor_resnet20 import folded, trained_shape

BATCH, RATE = 64, 1e-3
#: A step; returns the loss.
Step = Callable[[], Tensor]


def data() -> tuple[Tensor, Tensor]:
    """Return images and labels; they are random, speed does not depend on them."""
    random = np.random.default_rng(0)
    images = random.standard_normal((BATCH, 3, 32, 32)).astype(np.float32)
    labels = random.integers(0, 10, BATCH)
    return torch.from_numpy(images), torch.from_numpy(labels)


def plain(layout: str = "channels_last") -> Step:
    """Return a step of plain torch with Adam; images and weights in a memory layout."""
    network = folded(trained_shape()).train()
    images, labels = data()
    if layout == "channels_last":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    return _step(network, list(network.parameters()), images, labels)


def lightning(tile: int = 256) -> tuple[Step, str] | None:
    """Return a step of aihwkit-lightning and its settings in words; None without it.

    Its noise is that of ``rram``: 0.32 uS of a difference that goes up to 15.75 uS.
    """
    found = peers.lightning_training(folded(trained_shape()), tile, 0.32 / 15.75)
    if found is None:
        return None
    network, words = found
    return _step(network, list(network.parameters()), *data()), words


def device(
    recipe: Recipe | None = None, target: Target | None = None, *, noise: bool = True
) -> Step:
    """Return a step on the device, a new chip each.

    Args:
        recipe: How; None: the default, which is the straight-through estimator.
        target: The device; None: ``rram``.
        noise: Whether there is a chip; without, weights are quantized and nothing else.
    """
    from cimc.training.trainable import TrainableNetwork

    target, recipe = target or load_target("rram"), recipe or Recipe()
    network = TrainableNetwork(compiled(target, recipe), target, recipe)
    images, labels = data()
    groups = [{**group, "lr": RATE * group["lr_scale"]} for group in network.groups()]
    chips = iter(range(1 << 30))

    def forward(images: Tensor) -> Tensor:
        logits: Tensor = network([images], next(chips) if noise else None).outputs[0]
        return logits

    return _step(forward, groups, images, labels, network.after_step)


def compiled(target: Target, recipe: Recipe) -> Network:
    """Return the network as the compiler gives it to training: weights on cells, ranges fitted."""
    images, labels = data()
    network = import_model(trained_shape(), example_inputs=(images[:2],))
    given = Data({network.inputs[0].name: images.numpy()}, labels.numpy(), BATCH)
    context = PassContext(target, given, training=Training(given, recipe))
    passes = Options.gather(None).passes(target)
    return Runner(context, None, None, False).run(passes, network)


def _step(
    forward: Callable[[Tensor], Tensor] | nn.Module,
    parameters: list[Any],
    images: Tensor,
    labels: Tensor,
    after: Callable[[], None] | None = None,
) -> Step:
    optimizer = torch.optim.Adam(parameters, RATE)

    def run() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()
        if after is not None:
            after()
        return loss.detach()

    return run
