"""ResNet-20 on one noisy chip against plain torch: batch 32, 256 x 256 tiles, DAC 8, ADC 8."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tests.benchmarks.harness import Result
from tests.benchmarks.side_by_side import measure as side_by_side
from tests.zoo.resnet8 import Block, ResNet

BAR, BATCH, TIMES = 2.0, 32, 60


def measure() -> Result:
    """Return the ratio of times; weights and images are random, speed does not depend on them."""
    network = trained_shape()
    x = np.random.default_rng(0).standard_normal((BATCH, 3, 32, 32)).astype(np.float32)
    return side_by_side("executor-resnet20", BAR, network, folded(network), x, TIMES)


def trained_shape() -> ResNet:
    """Return a ResNet-20 whose BatchNorms have seen data, so that no activation dies."""
    torch.manual_seed(0)
    network = ResNet(blocks=3, inputs=3)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(BATCH, 3, 32, 32))
    return network.eval()


def folded(network: ResNet) -> ResNet:
    """Return the network with every BatchNorm folded into the convolution before it."""
    network = copy.deepcopy(network)
    network.conv = fuse_conv_bn_eval(network.conv, network.norm)
    network.norm = nn.Identity()  # type: ignore[assignment]
    for block in network.stages:
        assert isinstance(block, Block)
        block.conv1 = fuse_conv_bn_eval(block.conv1, block.norm1)
        block.conv2 = fuse_conv_bn_eval(block.conv2, block.norm2)
        block.norm1 = block.norm2 = nn.Identity()  # type: ignore[assignment]
        if len(block.shortcut):
            block.shortcut = nn.Sequential(fuse_conv_bn_eval(*block.shortcut))
    return network
