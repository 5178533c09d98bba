"""Running a graph node by node."""

from __future__ import annotations

import pytest
import torch

from cimc.errors import ModelError
from cimc.ir.interpreter import interpret, last_uses
from tests.ir.test_verifier import network


def test_runs_and_lets_observers_replace_results() -> None:
    module = network().graph
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    (y,) = interpret(module, [x])
    assert torch.equal(y, torch.relu(x @ module.w))
    seen = []

    def observe(node: torch.fx.Node, operands: tuple[object, ...], value: torch.Tensor) -> object:
        seen.append((node.name, len(operands)))
        return value + 1

    (z,) = interpret(module, [x], observe)
    assert seen == [("matmul", 2), ("relu", 1)]
    assert torch.equal(z, torch.relu(x @ module.w + 1) + 1)


def test_values_go_after_their_last_use() -> None:
    frees = {n.name: [d.name for d in dead] for n, dead in last_uses(network().graph).items()}
    assert frees["matmul"] == ["x", "w"]
    assert frees["relu"] == ["matmul"]


def test_an_error_says_where() -> None:
    module = network().graph
    for node in module.graph.nodes:
        node.meta["source"] = f"/model/{node.name}"
    with pytest.raises(ModelError) as caught:
        interpret(module, [torch.zeros(3, 5)])
    assert caught.value.code == "CIMC-M19"
    assert caught.value.where == "node /model/matmul"
    assert len(caught.value.message.splitlines()) == 1
