"""Importers of the recurrent operators."""

from __future__ import annotations

from typing import Any, Final

from cimc.frontends.onnx_node import Importer, NodeView, Result
from cimc.ops.operator import Operator
from cimc.ops.recurrent import OPERATORS

_ATTRIBUTES = (
    "direction",
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "input_forget",
    "linear_before_reset",
    "layout",
)


def recurrent(node: NodeView) -> Result:
    """Import ``LSTM``, ``GRU`` or ``RNN``; ``output_sequence`` of opset 1 says nothing new."""
    spec = _SPECS[node.node.op_type]
    weights = node.shape(2)  # R: (directions, gates * hidden, hidden)
    hidden = node.attribute("hidden_size", weights[-1] if weights else None)
    if hidden is None:
        raise node.error(
            "CIMC-M38", "the hidden size is not known", "giving attribute hidden_size"
        )
    given: dict[str, Any] = {k: node.attribute(k) for k in _ATTRIBUTES if node.has(k)}
    return node.same(spec, *node.operands, hidden_size=hidden, **given)


_SPECS: Final[dict[str, Operator]] = {
    spec.onnx: spec for spec in OPERATORS.values() if spec.onnx is not None
}

#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {("", name): recurrent for name in _SPECS}
