"""Bring the imported graph into the form later passes expect; its function stays."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from cimc.ir import rewrite
from cimc.ir.affine import AffineNode, affine_node, groups_of
from cimc.ir.batching import free_batch, tried_dtypes
from cimc.ir.folds import Recorder
from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Fold constants, BatchNorm and per-channel affine; remove identities and dead code.

    0. A CastLike that does not change the element type goes.
    1. A node whose operands are all constants is computed now, unless the result is larger than
       ``max_constant_bytes`` or the operator is opaque.
    2. ``y = BatchNorm(Conv(x, w, b))``, with constant statistics, ``w`` and ``y`` read nowhere
       else, becomes one convolution (likewise ConvTranspose): ``w' = w * s``, ``b' = b * s + t``
       with ``s = scale / sqrt(var + epsilon)``, ``t = bias - mean * s``.
    3. ``Conv(x, w, b) * m + a`` with constants of one value a channel is folded in the same way.
    4. ``identity`` is replaced by its operand, unless it is a result of the network itself.
    5. Nodes nobody reads go.
    6. Where a trial shows that samples along the first axis are independent, the axis is marked
       (and freed, when the model was exported for a fixed number): see ``cimc.ir.batching``.

    A weight read by several nodes is never folded into: it is programmed once and must stay one.

    Attributes:
        fold_batch_norm: Do rules 2 and 3.
        free_batch: Do rule 6.
        max_constant_bytes: Largest constant rule 1 makes [byte].
    """

    name: ClassVar[str] = "canonicalize"
    needs: ClassVar[Stage] = Stage.IMPORTED
    gives: ClassVar[Stage] = Stage.CANONICAL

    fold_batch_norm: bool = True
    free_batch: bool = True
    max_constant_bytes: int = 2**31

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network in canonical form."""
        graph, tensors = rewrite.copy(network.graph)
        names = dict(network.parameter_names)
        recorder = Recorder(tensors, names, network.folds)
        if any(rewrite.operator_name(node) == "cast_like" for node in graph.nodes):
            _fix_casts(graph, tried_dtypes(network, context.seed))
        _remove_identities(graph)
        _fold_constants(graph, tensors, self.max_constant_bytes, names, recorder)
        if self.fold_batch_norm:
            _fold_affine(graph, tensors, names, recorder)
        rewrite.sweep(graph)
        module = rewrite.build(graph, tensors)
        kept = rewrite.attributes(module)
        done = replace(
            network,
            graph=module,
            stage=Stage.CANONICAL,
            parameter_names={k: v for k, v in names.items() if k in kept},
            folds=recorder.folds(kept),
        )
        if not self.free_batch:
            return done
        data = None if context.data is None else context.data.inputs
        return free_batch(done, data, context.seed)


def _remove_identities(graph: Graph) -> None:
    for node in list(graph.nodes):
        if rewrite.operator_name(node) == "identity" and node.op == "call_function":
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _fix_casts(graph: Graph, dtypes: Mapping[str, torch.dtype]) -> None:
    """Turn ``cast_like`` into ``identity`` or ``cast``: element types do not depend on values."""
    for node in list(graph.nodes):
        if node.op != "call_function" or rewrite.operator_name(node) != "cast_like":
            continue
        x, like = node.args[:2]
        if x.name not in dtypes or like.name not in dtypes:
            continue
        if dtypes[x.name] == dtypes[like.name]:
            node.replace_all_uses_with(x)
            graph.erase_node(node)


def _output_bytes(value: object) -> int:
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes() if value.numel() else 0
    if isinstance(value, tuple | list):
        return sum(map(_output_bytes, value))
    return 0


def _too_large(node: Node, operands: tuple[object, ...], limit: int) -> bool:
    """Tell whether the result would be larger than the limit, for operators that can blow up."""
    name = rewrite.operator_name(node)
    if name in ("constant_of_shape", "expand") and isinstance(operands[-1], Tensor):
        return int(operands[-1].to(torch.float64).clamp(min=1).prod()) * 8 > limit
    if name == "tile" and isinstance(operands[0], Tensor) and isinstance(operands[1], Tensor):
        factor = float(operands[1].to(torch.float64).prod())
        return _output_bytes(operands[0]) * factor > limit
    if name == "range":
        start, stop, step = (float(v) for v in operands if isinstance(v, Tensor))
        return step == 0 or abs((stop - start) / step) * 8 > limit
    return False


def _fold_constants(
    graph: Graph,
    tensors: dict[str, Tensor],
    limit: int,
    names: dict[str, str],
    recorder: Recorder,
) -> None:
    known: dict[Node, Any] = {}
    made: dict[object, str] = {}
    for node in list(graph.nodes):
        if node.op == "get_attr":
            known[node] = tensors[str(node.target)]
        elif node.op == "call_function" and all(n in known for n in node.all_input_nodes):
            target = node.target
            if target is not operator.getitem and rewrite.operator_name(node) in ("", "opaque"):
                continue
            operands = map_arg(node.args, known.__getitem__)
            if _too_large(node, operands, limit):
                continue
            with torch.no_grad():
                value = target(*operands, **node.kwargs)
            if isinstance(value, Tensor):
                with graph.inserting_before(node):
                    key = _same_call(node)
                    if key in made:  # a weight prepared anew for every step is still one weight
                        new = graph.create_node("get_attr", made[key])
                    else:
                        new = rewrite.constant(graph, tensors, node.name, value)
                        made[key] = str(new.target)
                recorder.computed(node, value, new)
                source = _source_of(node, tensors, names, value)
                if source:
                    names[str(new.target)] = source
                node.replace_all_uses_with(new)
                known[new] = value
                graph.erase_node(node)
            elif isinstance(value, tuple | list):
                recorder.computed(node, value, None)
                known[node] = value


def _same_call(node: Node) -> object:
    """Return what is equal for calls of one operator on the same constants."""
    operands = tuple(str(a.target) if isinstance(a, Node) else repr(a) for a in node.args)
    return node.target, operands, repr(sorted(node.kwargs.items()))


def _source_of(
    node: Node, tensors: dict[str, Tensor], names: dict[str, str], value: Tensor
) -> str | None:
    """Return the source parameter a folded constant is a reshaped or transposed view of."""
    parents = [n for n in node.all_input_nodes if n.op == "get_attr"]
    same = [
        n
        for n in parents
        if str(n.target) in names and tensors[str(n.target)].numel() == value.numel()
    ]
    return names[str(same[0].target)] if same else None


def _single_use(node: Node) -> bool:
    return len(node.users) == 1


def _weight_is_free(conv: Node, graph: Graph) -> bool:
    """Tell whether weight and bias of a convolution are constants, the weight read only here."""
    weight = conv.args[1]
    bias = conv.args[2] if len(conv.args) > 2 else None
    if not rewrite.is_constant(weight) or not (bias is None or rewrite.is_constant(bias)):
        return False
    readers = [n for n in graph.nodes if n.op == "get_attr" and n.target == weight.target]
    return sum(len(n.users) for n in readers) == 1


def _fold_affine(
    graph: Graph, tensors: dict[str, Tensor], names: dict[str, str], recorder: Recorder
) -> None:
    for node in list(graph.nodes):
        if rewrite.operator_name(node) not in ("batch_normalization", "mul", "add", "sub"):
            continue
        found = affine_node(node, tensors)
        if found is None:
            continue
        if not _single_use(found.conv) or not _weight_is_free(found.conv, graph):
            continue
        _apply_affine(graph, tensors, names, found, recorder)
        node.replace_all_uses_with(found.conv)
        graph.erase_node(node)


def _apply_affine(
    graph: Graph,
    tensors: dict[str, Tensor],
    names: dict[str, str],
    found: AffineNode,
    recorder: Recorder,
) -> None:
    """Put a scale and a shift of the output channels into weight and bias."""
    conv, scale, shift = found.conv, found.scale, found.shift
    old_weight = cast("Node", conv.args[1])
    weight = rewrite.constant_of(old_weight, tensors)
    key = str(old_weight.target)
    if rewrite.operator_name(conv) == "conv":
        factor = scale.reshape(-1, *[1] * (weight.ndim - 1))
    else:
        group = groups_of(conv)
        per_row = scale.reshape(group, 1, -1).expand(group, weight.shape[0] // group, -1)
        factor = per_row.reshape(weight.shape[0], -1, *[1] * (weight.ndim - 2))
    bias = cast("Node | None", conv.args[2] if len(conv.args) > 2 else None)
    old = torch.zeros_like(shift) if bias is None else rewrite.constant_of(bias, tensors).double()
    folded = (weight.double() * factor).to(weight.dtype)
    with graph.inserting_before(conv):
        new_weight = rewrite.constant(graph, tensors, f"{key}_folded", folded)
        new_bias = rewrite.constant(
            graph, tensors, f"{key}_bias", (old * scale + shift).to(weight.dtype)
        )
    fixed = recorder.names(*found.scaling)
    recorder.scaled(new_weight, old_weight, factor, fixed)
    recorder.shifted(new_bias, bias, scale, shift, found.added, fixed)
    if key in names:
        names[str(new_weight.target)] = names[key]
    conv.args = (conv.args[0], new_weight, new_bias, *conv.args[3:])
