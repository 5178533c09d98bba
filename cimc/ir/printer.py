"""The text form of a network: what ``--dump-passes`` writes and goldens compare."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from cimc.ir import rewrite
from cimc.ir.layer import CrossbarLayer, Use
from cimc.ir.network import Network, Signal


def to_text(network: Network) -> str:
    """Return one line per input, node, output and layer; arrays as type, shape and digest.

    The same network gives the same text.
    """
    tensors = rewrite.attributes(network.graph)
    lines = [f"network @{network.stage.name.lower()}" + (" batched" if network.batched else "")]
    lines += [f"  input {_signal(s)}" for s in network.inputs]
    lines += [f"  {_node(n, tensors)}" for n in network.graph.graph.nodes if n.op != "placeholder"]
    lines += [f"  output {_signal(s)}" for s in network.outputs]
    for layer in network.layers.values():
        lines += [f"  {line}" for line in _layer(layer)]
    return "\n".join(lines) + "\n"


def digest(value: Any) -> str:
    """Return ``type[shape] hash`` of a tensor or array; the hash is of its bytes."""
    if isinstance(value, Tensor):
        data = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        kind, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
    else:
        array = np.ascontiguousarray(value)
        data, kind, shape = array.reshape(-1).view(np.uint8), str(array.dtype), array.shape
    return f"{kind}{list(shape)} {hashlib.sha256(data.data).hexdigest()[:12]}"


def _signal(signal: Signal) -> str:
    shape = "?" if signal.shape is None else list(signal.shape)
    return f"{signal.name} {signal.dtype}{shape}"


def _node(node: Node, tensors: dict[str, Tensor]) -> str:
    if node.op == "get_attr":
        return f"{node.name} = constant {node.target} {digest(tensors[str(node.target)])}"
    if node.op == "output":
        return f"return {', '.join(str(n) for n in node.args[0])}"  # type: ignore[union-attr]
    target = getattr(node.target, "__name__", str(node.target))
    operands = ", ".join(map(str, node.args))
    settings = "".join(f" {k}={v!r}" for k, v in sorted(node.kwargs.items()))
    source = node.meta.get("source")
    return f"{node.name} = {target}({operands}){settings}" + (f"  # {source}" if source else "")


def _layer(layer: CrossbarLayer) -> list[str]:
    g = layer.geometry
    lines = [f"layer {layer.name} {g.kind} {g.groups}x{g.rows}x{g.columns} weight {layer.weight}"]
    if layer.codebook is not None:
        lines.append(f"  levels {_numbers(layer.codebook.levels)}")
        if layer.codebook.multipliers is not None:
            lines.append(f"  multipliers {_numbers(layer.codebook.multipliers)}")
        lines.append(f"  codes {digest(layer.codebook.codes)}")
    if layer.row_tiles is not None:
        lines.append(f"  row tiles {layer.row_tiles.tolist()}")
    if layer.tiles is not None:
        lines.append(f"  tiles {len(layer.tiles)} {digest(layer.tiles)}")
    if layer.cells is not None:
        planes = ", ".join(digest(p) for p in layer.cells.planes)
        lines.append(f"  cells {layer.encoding} {planes}")
    return lines + [f"  {_use(use)}" for use in layer.uses]


def _numbers(values: Tensor) -> str:
    """Return a few numbers as they are, many as a digest."""
    return str(values.tolist()) if values.ndim == 1 and len(values) <= 16 else digest(values)


def _use(use: Use) -> str:
    text = f"read by {use.node}.{use.operand}"
    if use.dac.bits is not None:
        full = "dynamic" if use.dac.x_max is None else f"{use.dac.x_max:.6g}"
        text += f" dac {use.dac.bits} bit {'signed' if use.dac.signed else 'unsigned'} {full}"
    if use.adc.bits is not None and use.adc.i_max_us is not None:
        full = ", ".join(f"{v:.6g}" for v in use.adc.i_max_us.reshape(-1)[:8].tolist())
        sign = "signed" if use.adc.signed else "unsigned"
        text += f" adc {use.adc.bits} bit {sign} [{full}] uS"
    return text
