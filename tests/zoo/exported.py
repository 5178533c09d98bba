"""Torch networks of the zoo as ONNX files in the cache, exported when first asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn

from tests.zoo import cache
from tests.zoo.fetch import place

OPSET = 18


def weights(name: str) -> dict[str, Tensor]:
    """Return a published state dict; only tensors are unpickled."""
    loaded: dict[str, Tensor] = torch.load(
        cache.model(name), map_location="cpu", weights_only=True
    )
    return loaded


def strip(model: onnx_ir.Model) -> None:
    """Remove what the exporter notes of the source (stack traces with paths of this machine)."""
    for holder in (model.graph, *model.graph.all_nodes(), *model.functions.values()):
        holder.metadata_props.clear()
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.metadata_props.clear()


def export(
    network: nn.Module,
    path: Path,
    examples: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: tuple[dict[int, Any], ...] | None = None,
) -> Path:
    """Write a torch network as ONNX, unoptimized, unless the cache has it.

    Args:
        network: In evaluation mode.
        path: Where to.
        examples: One tensor an input.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        dynamic: Dynamic axes an input; the first axis of every input when None.
    """
    if path.is_file():
        return path
    if dynamic is None:
        batch = torch.export.Dim("batch")
        dynamic = tuple({0: batch} for _ in examples)
    program = torch.onnx.export(
        network.eval(),
        examples,
        dynamo=True,
        optimize=False,
        verbose=False,
        opset_version=OPSET,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=dynamic,
    )
    assert program is not None
    strip(program.model)
    place(program.model_proto.SerializeToString(), path)
    return path
