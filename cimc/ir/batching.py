"""Find out whether samples along the first axis are independent, and free a fixed first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from cimc.errors import CimcError
from cimc.ir import rewrite
from cimc.ir.interpreter import interpret
from cimc.ir.made_up import made_up, trials
from cimc.ir.network import Array, Network, Signal
from cimc.ops.arrays import to_tensor
from cimc.ops.table import OPERATORS

#: Largest relative difference between a sample alone and in a batch that counts as equal: float32
#: sums of different order.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two lots of samples, both together, and what the graph as imported makes of the first."""

    module: GraphModule
    known: tuple[Any, ...]
    first: list[Tensor]
    second: list[Tensor]
    both: list[Tensor]


def free_batch(network: Network, data: Mapping[str, Array] | None, seed: int) -> Network:
    """Return the network with its first axis free where a trial shows samples independent.

    1. Every input's first axis must have one common size or name, and so must every output's.
    2. The network is run on two lots of samples apart and together: the results must agree.
    3. A fixed size (a model exported for one image) is freed by letting Reshapes to that size
       keep the size of their operand, when rule 2 then holds.
    4. When only rule 1 holds with a fixed size, runs take exactly that many samples.
    """
    fixed = _common_size(network.inputs)
    if fixed is None or _common_size(network.outputs) is None:
        return network
    size = fixed if isinstance(fixed, int) else 1
    if size < 1:
        return network
    pair = _pair(network, data, seed, size)
    if pair is None:
        return replace(network, batched=isinstance(fixed, int))
    if isinstance(fixed, str):
        return replace(network, batched=_independent(network.graph, pair))
    freed = _with_free_reshapes(network.graph, fixed)
    if _independent(freed, pair):
        return replace(
            network,
            graph=freed,
            inputs=_freed(network.inputs),
            outputs=_freed(network.outputs),
            batched=True,
        )
    return replace(network, batched=True)


def tried_dtypes(network: Network, seed: int) -> dict[str, torch.dtype]:
    """Return the element type of every tensor of the graph, from a run on made-up inputs.

    Empty when no inputs are found that the network runs on.
    """
    found: dict[str, torch.dtype] = {}

    def note(name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            found[name] = value.dtype

    def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
        for operand, seen in zip(node.args, operands, strict=True):
            if isinstance(operand, Node):
                note(operand.name, seen)
        note(node.name, value)
        return value

    for trial in trials():
        try:
            made = made_up(network.inputs, seed=seed, trial=trial, samples=1)
            interpret(network.graph, [_tensor(made[s.name]) for s in network.inputs], observe)
        except (CimcError, RuntimeError, ValueError, IndexError, TypeError):
            found.clear()
        else:
            return found
    return found


def _common_size(signals: Sequence[Signal]) -> int | str | None:
    """Return the first axis all signals share; None when they do not."""
    first = {s.shape[0] if s.shape else None for s in signals}
    if len(first) != 1:
        names = {f for f in first if isinstance(f, str)}
        return "batch" if first and len(names) == len(first) else None
    return first.pop()


def _freed(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    return tuple(replace(s, shape=("batch", *(s.shape or ())[1:])) for s in signals)


def _pair(
    network: Network, data: Mapping[str, Array] | None, seed: int, size: int
) -> _Pair | None:
    """Return inputs the network runs on; None when none are found."""
    candidates = []
    if data is not None and all(len(data[s.name]) >= 2 * size for s in network.inputs):
        candidates.append(
            tuple(
                {s.name: data[s.name][i * size : (i + 1) * size] for s in network.inputs}
                for i in (0, 1)
            )
        )
    with suppress(CimcError):  # inputs that cannot be made up leave only the data
        candidates.extend(
            tuple(made_up(network.inputs, seed=seed + i, trial=t, samples=size) for i in (1, 2))
            for t in trials()
        )
    for lots in candidates:
        first, second = ([_tensor(lot[s.name]) for s in network.inputs] for lot in lots)
        try:
            known = interpret(network.graph, first)
        except (CimcError, RuntimeError, ValueError, IndexError, TypeError):
            continue
        both = [torch.cat(p) for p in zip(first, second, strict=True)]
        return _Pair(network.graph, known, first, second, both)
    return None


def _tensor(value: Array) -> Tensor:
    return to_tensor(value)


def _independent(module: GraphModule, pair: _Pair) -> bool:
    """Whether a graph gives the known results on the first lot, and lots do not see each other."""
    try:
        first = pair.known if module is pair.module else interpret(module, pair.first)
        if not all(map(_equal, first, pair.known)):
            return False  # freeing a Reshape moved elements: it meant another axis than the batch
        second = interpret(module, pair.second)
        together = interpret(module, pair.both)
    except (CimcError, RuntimeError, ValueError, IndexError, TypeError):
        return False
    return all(map(_joined, first, second, together))


def _joined(first: Any, second: Any, together: Any) -> bool:
    """Whether the third tensor is the other two, one after the other along the first axis."""
    if not all(isinstance(v, Tensor) and v.ndim for v in (first, second, together)):
        return False
    return first.shape[1:] == second.shape[1:] and _equal(torch.cat([first, second]), together)


def _equal(expected: Any, got: Any) -> bool:
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor):
        return False
    if expected.shape != got.shape:
        return False
    if not expected.is_floating_point():
        return bool(torch.equal(expected, got))
    scale = float(torch.nan_to_num(expected).abs().max()) if expected.numel() else 0.0
    atol = TOLERANCE * scale + 1e-30
    return bool(torch.allclose(expected, got, rtol=0.0, atol=atol, equal_nan=True))


def _with_free_reshapes(module: GraphModule, size: int) -> GraphModule:
    """Return the graph with Reshapes to ``(size, ...)`` made ``(0, ...)``: keep that axis."""
    graph, tensors = rewrite.copy(module)
    reshape = OPERATORS["reshape"].function
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not reshape:
            continue
        shape = node.args[1]
        if not rewrite.is_constant(shape) or node.kwargs.get("allowzero"):
            continue
        value = tensors[str(shape.target)]
        if value.numel() and int(value[0]) == size:
            with graph.inserting_before(node):
                free = value.clone()
                free[0] = 0
                new = rewrite.constant(graph, tensors, f"{shape.target}_free", free)
            node.args = (node.args[0], new)
    rewrite.sweep(graph)
    return rewrite.build(graph, tensors)
