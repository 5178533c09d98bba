"""What the model inside an opaque operator may be; it may come from a hostile file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cimc.errors import CimcError

if TYPE_CHECKING:
    import onnx  # few programs hold such an operator, and importing it takes a while

#: Domains of the ONNX standard.  Anything else would need code from outside.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training"})
MAX_BYTES = 256 << 20
#: Nodes, those of subgraphs included.
MAX_NODES = 10_000
#: Subgraphs inside subgraphs.
MAX_DEPTH = 16


def check_opaque_model(data: bytes, error: Callable[..., CimcError]) -> str:
    """Check the model of an opaque operator; return its graph's name (that of the source node).

    Args:
        data: Serialized ``ModelProto``.
        error: Makes the error to raise, from code, message and where.

    Raises:
        CimcError: ``CIMC-M31``: not a model, too large, external data, functions, or a domain
            that is not of the ONNX standard.
    """
    if len(data) > MAX_BYTES:
        raise error(
            "CIMC-M31",
            f"the model of an opaque operator is larger than {MAX_BYTES >> 20} MiB "
            f"({len(data) >> 20} MiB)",
        )
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as cause:
        raise error("CIMC-M31", f"not an ONNX model ({len(data)} bytes)") from cause
    name = model.graph.name
    for problem in _problems(model):
        raise error("CIMC-M31", problem, where=name)
    return name


def _problems(model: onnx.ModelProto) -> Iterator[str]:
    """Yield what is wrong with a model."""
    if model.functions or model.training_info:
        yield "an opaque operator has no functions or training information"
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield f"operators of the domain {opset.domain!r} are not of the ONNX standard"
    nodes = 0
    for depth, graph in _graphs(model.graph):
        if depth > MAX_DEPTH:
            yield f"subgraphs are nested deeper than {MAX_DEPTH}"
            return
        nodes += len(graph.node)
        if nodes > MAX_NODES:
            yield f"more than {MAX_NODES} nodes in one opaque operator"
        for node in graph.node:
            if node.domain not in DOMAINS:
                yield f"{node.op_type} of the domain {node.domain!r} is not an ONNX operator"
        for tensor in _tensors(graph):
            if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
                yield f"tensor {tensor.name!r} is stored outside of the model"


def _graphs(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[int, onnx.GraphProto]]:
    """Yield a graph and its subgraphs with their depth; stop below :data:`MAX_DEPTH`."""
    yield depth, graph
    if depth > MAX_DEPTH:
        return
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from _graphs(inner, depth + 1)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors that a graph and its nodes hold."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
