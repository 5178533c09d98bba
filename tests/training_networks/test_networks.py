"""Every architecture exports, and compiles with each of its linear operations on crossbars."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import cimc
from tests.training_networks.data import task_data
from tests.training_networks.networks import INPUT, NETWORKS, OUTPUT, network, trained
from tests.zoo.cache import MissingError
from tests.zoo.exported import export

LINEAR = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
NAMES = [name for name in NETWORKS if not name.endswith("-cifar10")]


def randomized(name: str) -> nn.Module:
    """A network whose BatchNorms are not the identity."""
    module = network(name, seed=1)
    drawn = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = torch.rand(part.num_features, generator=drawn) - 0.5
            part.running_var = torch.rand(part.num_features, generator=drawn) + 0.5
    return module


@pytest.mark.parametrize("name", NAMES)
def test_export_and_compiled_program_equal_torch(name: str, tmp_path: Path) -> None:
    module = randomized(name)
    inputs = task_data(NETWORKS[name].task, "calibration", 5)[INPUT]
    with torch.no_grad():
        expected = module(torch.from_numpy(inputs)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        path = export(
            module, tmp_path / "net.onnx", (torch.from_numpy(inputs[:2]),), [INPUT], [OUTPUT]
        )
    session = onnxruntime.InferenceSession(path)
    (exported,) = session.run([OUTPUT], {INPUT: inputs})
    np.testing.assert_allclose(exported, expected, rtol=1e-3, atol=1e-5)
    program = cimc.compile(path, target="ideal")
    compiled: Any = cimc.run(program, {INPUT: inputs}, mode="ideal")[OUTPUT]
    np.testing.assert_allclose(compiled, expected, rtol=1e-3, atol=1e-5)
    wanted = sum(isinstance(part, LINEAR) for part in module.modules())
    assert len(program.layers) == wanted


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith("-cifar10")])
def test_the_cifar_networks_take_its_images(name: str) -> None:
    with torch.no_grad():
        assert network(name)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_causal_network_does_not_see_later_characters() -> None:
    module = network("gpt")
    text = torch.from_numpy(task_data("gpt", "calibration", 1)[INPUT])
    other = text.clone()
    other[:, 40:] = (other[:, 40:] + 1) % 65
    with torch.no_grad():
        before, after = module(text), module(other)
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.equal(before[:, 40], after[:, 40])


def test_a_bidirectional_network_does() -> None:
    module = network("bert")
    text = torch.from_numpy(task_data("bert", "calibration", 1)[INPUT])
    other = text.clone()
    other[:, 40:] = (other[:, 40:] + 1) % 65
    with torch.no_grad():
        assert not torch.equal(module(text)[:, 0], module(other)[:, 0])


def test_random_weights_are_the_seeds_and_leave_torch_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = network("vgglike", 1), network("vgglike", 1), network("vgglike", 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    key = "classifier.0.weight"
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_a_network_that_was_not_trained_names_the_command() -> None:
    with pytest.raises(MissingError, match=r"tests\.training_networks\.pretrain resnet8"):
        trained("resnet8", seed=999)
