"""What must hold of an ONNX graph before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx.checker import ValidationError

from cimc.errors import ModelError
from cimc.frontends.onnx_types import skeleton

#: A domain the checker does not know, so that it only checks the wiring of a node.
_UNCHECKED = "cimc.unchecked"


def check_structure(proto: onnx.ModelProto, path: Path | None) -> None:
    """Refuse a model whose graph is not valid.

    Raises:
        ModelError: ``CIMC-M01`` a name that is not text, ``CIMC-M02`` external data outside the
            model's folder or missing, ``CIMC-M03`` not valid, ``CIMC-M04`` a value defined twice,
            ``CIMC-M05`` a cycle, ``CIMC-M06`` a value nobody defines, ``CIMC-M15`` a sparse
            initializer.
    """
    _check_text(proto.graph)
    _check_external(proto, path)
    _check_values(proto.graph)
    for sparse in proto.graph.sparse_initializer:
        raise ModelError(
            "CIMC-M15",
            f"the initializer {sparse.values.name!r} is sparse",
            hint="storing it as a dense tensor",
        )
    bare = skeleton(proto)
    opset = next((o.version for o in bare.opset_import if o.domain in ("", "ai.onnx")), 0)
    for node in bare.graph.node:
        # Its first form is deprecated, but onnxruntime runs it and exporters wrote it.
        if node.op_type == "GroupNormalization" and 18 <= opset < 21:
            node.domain = _UNCHECKED
    bare.opset_import.add(domain=_UNCHECKED, version=1)
    for value in (*bare.graph.input, *bare.graph.output):
        # A value of unknown rank is allowed in practice; the checker asks for a shape.
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(bare)
    except (ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(
            "CIMC-M03",
            f"the graph is not valid: {first_line(error)}",
            hint="checking the model with onnx.checker",
        ) from error


def _check_text(graph: onnx.GraphProto) -> None:
    """Refuse names that are not text; protobuf hands them over as bytes, or fails later."""
    try:
        whole = all(isinstance(name, str) for name in _names(graph))
    except UnicodeDecodeError:
        whole = False
    if not whole:
        raise ModelError("CIMC-M01", "not an ONNX model: a name in it is not UTF-8")


def _names(graph: onnx.GraphProto) -> Iterator[object]:
    """Yield every name of a graph and its subgraphs."""
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (axis.dim_param for axis in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, node.overload)
        yield from node.input
        yield from node.output
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
            if attribute.HasField("g"):
                yield from _names(attribute.g)
            for sub in attribute.graphs:
                yield from _names(sub)


def _check_external(proto: onnx.ModelProto, path: Path | None) -> None:
    for tensor in _tensors(proto.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = f"initializer {tensor.name!r}"
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        if path is None:
            raise ModelError(
                "CIMC-M02",
                f"external data ({location!r}) of a model that is not a file",
                where=where,
                hint="giving the path of the model",
            )
        name = PurePosixPath(location.replace("\\", "/"))
        folder = path.parent.resolve()
        if not location or name.is_absolute() or ".." in name.parts or ":" in location:
            raise ModelError(
                "CIMC-M02", f"external data outside the model's folder: {location!r}", where=where
            )
        file = folder / name
        if file.is_symlink() or not file.resolve().is_relative_to(folder):
            raise ModelError("CIMC-M02", f"external data behind a link: {location!r}", where=where)
        if not file.is_file():
            raise ModelError(
                "CIMC-M02",
                f"external data file {location!r} does not exist",
                where=where,
                hint="keeping the data file beside the model",
            )


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the initializers and tensor attributes of a graph and its subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for sub in attribute.graphs:
                yield from _tensors(sub)


def _check_values(graph: onnx.GraphProto) -> None:
    """Refuse values defined twice, never, or in a circle (main graph)."""
    initializers = {t.name for t in graph.initializer} | {
        t.values.name for t in graph.sparse_initializer
    }
    if len(initializers) < len(graph.initializer) + len(graph.sparse_initializer):
        names = [t.name for t in graph.initializer]
        raise _twice(next(n for n in names if names.count(n) > 1), "initializers")
    inputs: set[str] = set()
    for value in graph.input:
        if value.name in inputs:
            raise _twice(value.name, "graph inputs")
        inputs.add(value.name)
    producer: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in producer or name in inputs or name in initializers:
                raise _twice(name, f"outputs, the second of node {_label(node, index)}")
            producer[name] = index
    known = inputs | initializers
    for index, node in enumerate(graph.node):
        for name in filter(None, node.input):
            if name not in known and name not in producer:
                raise ModelError(
                    "CIMC-M06",
                    f"nothing defines the value {name!r}",
                    where=f"node {_label(node, index)}",
                )
    results: set[str] = set()
    for value in graph.output:
        if value.name in results:
            raise _twice(value.name, "graph outputs")
        results.add(value.name)
        if value.name not in known and value.name not in producer:
            raise ModelError(
                "CIMC-M06", f"nothing defines the value {value.name!r}", where="graph outputs"
            )
    _check_order(graph, producer)


def _check_order(graph: onnx.GraphProto, producer: dict[str, int]) -> None:
    """Refuse a cycle: repeatedly take away the nodes whose inputs are ready."""
    waiting = [{producer[n] for n in node.input if n in producer} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for index, needs in enumerate(waiting):
        for need in needs:
            readers.setdefault(need, []).append(index)
    ready = [index for index, needs in enumerate(waiting) if not needs]
    done = 0
    while ready:
        index = ready.pop()
        done += 1
        for reader in readers.get(index, ()):
            waiting[reader].discard(index)
            if not waiting[reader]:
                ready.append(reader)
    if done < len(graph.node):
        index = next(k for k, needs in enumerate(waiting) if needs)
        raise ModelError(
            "CIMC-M05", "the graph has a cycle", where=f"node {_label(graph.node[index], index)}"
        )


def _twice(name: str, where: str) -> ModelError:
    return ModelError("CIMC-M04", f"the value {name!r} is defined twice", where=where)


def _label(node: onnx.NodeProto, index: int) -> str:
    return f"{node.name or f'{node.op_type}#{index}'} ({node.op_type})"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
