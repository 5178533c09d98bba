"""Import of a tensor cut into a sequence of which single parts are read: an ordinary split.

The torch exporter writes ``chunk``, ``split`` and ``unbind`` in this way.  Other sequences stay
opaque.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir
from torch.fx import Node

from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result
from cimc.ops.layout import MAX_PARTS
from cimc.ops.table import OPERATORS

#: Operators that may touch a sequence and still be native.
READERS: Final = frozenset({"SplitToSequence", "SequenceAt"})


def split_to_sequence(view: NodeView) -> Result:
    """SplitToSequence whose parts are picked by constant position: the call gives all of them.

    Raises:
        Declined: The parts are not known now, or somebody else wants the sequence.
    """
    sequence = view.node.outputs[0]
    if sequence.is_graph_output() or any(
        node.op_type != "SequenceAt" or node.graph is not view.node.graph
        for node in sequence.consumers()
    ):
        raise Declined("a sequence that is more than picked from")
    if any(_position(node.inputs[1]) is None for node in sequence.consumers()):
        raise Declined("a sequence of which parts are picked at positions not known before")
    if view.operand(1) is not None and not view.attribute("keepdims", 1):
        raise Declined("keepdims with sizes: the standard ignores it, onnxruntime does not")
    sizes = view.constant(_sizes(view), "split")
    return view.call("split", view.required(0, "input"), sizes, axis=view.attribute("axis", 0))


def _sizes(view: NodeView) -> list[int]:
    """Return the size of every part."""
    shape, axis = view.shape(0), view.attribute("axis", 0)
    known = shape is not None and -len(shape) <= axis < len(shape)
    total = shape[axis] if shape is not None and known else None
    given = view.value(1)
    if view.operand(1) is not None and given is None:
        raise Declined("a sequence of parts whose sizes are not constant")
    if given is not None and given.ndim == 1:
        return [int(size) for size in given.tolist()]
    if total is None:
        raise Declined("a sequence of parts whose number is not known")
    step = 1 if given is None else int(given)
    if step <= 0 or total > step * MAX_PARTS:
        raise Declined(f"a sequence of parts of {step} of {total} elements")
    return [min(step, total - first) for first in range(0, total, step)]


def sequence_at(view: NodeView) -> Result:
    """SequenceAt of a split.

    Raises:
        Declined: The sequence was not made by :func:`split_to_sequence`.
        ModelError: ``CIMC-M13``: there is no such part.
    """
    call = view.required(0, "input_sequence")
    if call.target is not OPERATORS["split"].function:
        raise Declined("part of a sequence that an opaque operator made")
    sizes = call.args[1] if isinstance(call.args[1], Node) else None
    known = None if sizes is None else view.known(sizes)
    count, position = 0 if known is None else known.numel(), _position(view.node.inputs[1])
    if position is None or not -count <= position < count:
        raise view.error("CIMC-M13", f"position {position} of a sequence of {count}")
    part = view.item(call, position % count)
    return (
        part
        if _keeps_axis(view.node.inputs[0])
        else view.call("squeeze", part, view.constant([_axis(call)], "axes"))
    )


def _keeps_axis(sequence: ir.Value | None) -> bool:
    """Tell whether the parts keep the axis; they only lose it when no sizes are given."""
    maker = None if sequence is None else sequence.producer()
    if maker is None or (len(maker.inputs) > 1 and maker.inputs[1] is not None):
        return True
    return bool(maker.attributes.get_int("keepdims", 1))


def _axis(call: Node) -> int:
    axis = call.kwargs["axis"]
    return axis if isinstance(axis, int) else 0


def _position(value: ir.Value | None) -> int | None:
    """Return the position a constant of the model holds; None when it is not constant."""
    if value is None:
        return None
    tensor, producer = value.const_value, value.producer()
    if tensor is None and producer is not None and producer.op_type == "Constant":
        tensor = producer.attributes.get_tensor("value")
        if tensor is None:
            return producer.attributes.get_int("value_int")
    return None if tensor is None or tensor.size != 1 else int(tensor.numpy().reshape(-1)[0])


IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "SplitToSequence"): split_to_sequence,
    ("", "SequenceAt"): sequence_at,
}
