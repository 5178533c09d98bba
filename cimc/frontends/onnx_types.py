"""Element types and shapes of the values of a model, inferred without its large weights."""

from __future__ import annotations

import onnx

#: Initializers up to this many elements are kept: shapes are computed from them.
_SMALL = 1024


def skeleton(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its large initializers as graph inputs instead.

    It can be serialized and handed to onnx whatever the size of the weights.
    """
    # Constants that are not inputs too are an error before IR version 4.
    bare = onnx.ModelProto(ir_version=max(proto.ir_version, 4))
    bare.opset_import.extend(proto.opset_import)
    bare.functions.extend(proto.functions)
    graph = bare.graph
    graph.name = proto.graph.name or "graph"
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    declared = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        small = elements(tensor) <= _SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL
        if small:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            kind = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            graph.input.append(onnx.ValueInfoProto(name=tensor.name, type=kind))
    return bare


def elements(tensor: onnx.TensorProto) -> int:
    """Return the number of elements of a tensor."""
    count = 1
    for axis in tensor.dims:
        count *= axis
    return count


def infer_types(proto: onnx.ModelProto) -> None:
    """Write inferred element types and shapes into the model's ``value_info``.

    What onnx infers wins over what the model declares; declarations stay where onnx does not
    know the operator.
    """
    try:
        found = onnx.shape_inference.infer_shapes(skeleton(proto), data_prop=True).graph
    except Exception:
        return
    inferred = {value.name: value for value in found.value_info}
    for value in proto.graph.value_info:
        known = inferred.get(value.name)
        if known is None or (_has_shape(value) and not _has_shape(known)):
            inferred[value.name] = value
    results = {value.name: value for value in found.output}
    for value in proto.graph.output:
        if not value.HasField("type") and value.name in results:
            value.CopyFrom(results[value.name])
    merged = list(inferred.values())
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(merged)


def _has_shape(value: onnx.ValueInfoProto) -> bool:
    kind = value.type
    return not kind.HasField("tensor_type") or kind.tensor_type.HasField("shape")
