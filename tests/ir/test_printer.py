"""The text form: complete, deterministic, and different where the network is."""

from __future__ import annotations

from dataclasses import replace

import torch

from cimc.ir.network import Stage
from cimc.ir.printer import digest, to_text
from tests.ir.test_verifier import layer, network


def test_imported_network() -> None:
    text = to_text(network(layers={}))
    assert text.splitlines() == [
        "network @imported",
        "  input x float32['', 4]",
        f"  w = constant w {digest(network().graph.w)}",
        "  matmul = matmul(x, w)",
        "  relu = relu(matmul)",
        "  return relu",
        "  output y float32['', 6]",
    ]


def test_layers_are_shown() -> None:
    text = to_text(network(stage=Stage.ASSIGNED))
    assert "layer fc matrix 1x4x6 weight w" in text
    assert "levels [0.0, 1.0, 2.0]" in text
    assert "row tiles [[0, 3], [3, 1]]" in text
    assert "cells differential-pair" in text
    assert "read by matmul.1" in text


def test_same_text_for_the_same_network_only() -> None:
    made = network(stage=Stage.ASSIGNED)
    assert to_text(made) == to_text(network(stage=Stage.ASSIGNED))
    moved = layer()
    assert moved.tiles is not None
    moved.tiles[0, 6] = 5
    assert to_text(replace(made, layers={"fc": moved})) != to_text(made)


def test_digest_sees_values_types_and_shapes() -> None:
    x = torch.zeros(2, 3)
    assert len({digest(x), digest(x + 1), digest(x.int()), digest(x.reshape(3, 2))}) == 4
    assert digest(x).startswith("float32[2, 3] ")
    assert digest(x.T) == digest(x.T.contiguous())
    assert digest(x.numpy()) == digest(x)
