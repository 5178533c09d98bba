"""One ONNX node as importer functions see it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor
from torch.fx import Node

from cimc.errors import ModelError
from cimc.frontends.onnx_builder import GraphBuilder
from cimc.ops.operator import Operator
from cimc.ops.table import OPERATORS

#: What an importer gives for the outputs of its node, in order; missing trailing ones stay unset.
Result = Node | tuple[Node | None, ...]
#: Turns one ONNX node into calls of operators of the table.
Importer = Callable[["NodeView"], Result]

_LITERAL_TYPES = {
    ir.AttributeType.INT,
    ir.AttributeType.FLOAT,
    ir.AttributeType.STRING,
    ir.AttributeType.INTS,
    ir.AttributeType.FLOATS,
    ir.AttributeType.STRINGS,
}


class Declined(Exception):  # noqa: N818 - not an error: the node goes to the opaque operator
    """An importer does not handle this form of its operator natively; says why."""


class NodeView:
    """One ONNX node: its operands in the graph being built, attributes and version.

    Attributes:
        node: The ONNX node.
        version: Opset version of the node's domain.
        operands: Graph node of each input; None where an optional input is omitted.  Trailing
            omitted inputs are cut off.
    """

    def __init__(
        self, node: ir.Node, version: int, operands: tuple[Node | None, ...], builder: GraphBuilder
    ) -> None:
        while operands and operands[-1] is None:
            operands = operands[:-1]
        self.node, self.version, self.operands = node, version, operands
        self._builder = builder

    @property
    def domain(self) -> str:
        """Domain of the operator; '' for ONNX's own."""
        return "" if self.node.domain == "ai.onnx" else self.node.domain

    @property
    def where(self) -> str:
        """The node for error messages."""
        return f"node {self._builder.source} ({self.node.op_type})"

    def error(self, code: str, message: str, hint: str = "") -> ModelError:
        """Return an error that names this node."""
        return ModelError(code, message, where=self.where, hint=hint)

    # -- operands --------------------------------------------------------------------------

    def operand(self, index: int) -> Node | None:
        """Return an operand, or None when it is omitted."""
        return self.operands[index] if index < len(self.operands) else None

    def required(self, index: int, name: str) -> Node:
        """Return an operand.

        Raises:
            ModelError: ``CIMC-M14``: it is omitted.
        """
        found = self.operand(index)
        if found is None:
            raise self.error("CIMC-M14", f"operand {index} ({name!r}) is missing")
        return found

    def value(self, index: int) -> Tensor | None:
        """Return the value of an operand that is a constant of the model; else None."""
        node = self.operand(index)
        return self._builder.value(node) if node is not None else None

    def known(self, node: Node) -> Tensor | None:
        """Return the value of a graph node that reads a constant; else None."""
        return self._builder.value(node)

    def dtype(self, index: int) -> str | None:
        """Return the element type of an input by its numpy name; None when unknown."""
        source = self.node.inputs[index] if index < len(self.node.inputs) else None
        return None if source is None or source.dtype is None else dtype_name(source.dtype)

    def shape(self, index: int) -> tuple[int | None, ...] | None:
        """Return the shape of an input, None for axes that are not known; None: rank unknown."""
        source = self.node.inputs[index] if index < len(self.node.inputs) else None
        if source is None or source.shape is None:
            return None
        return tuple(a if isinstance(a, int) and a >= 0 else None for a in source.shape)

    def rank(self, index: int) -> int | None:
        """Return the rank of an input; None when unknown."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def wants(self, index: int) -> bool:
        """Tell whether an output has a name, so that somebody may read it."""
        return index < len(self.node.outputs) and bool(self.node.outputs[index].name)

    # -- attributes ------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Tell whether an attribute is given."""
        return name in self.node.attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return a literal attribute: int, float, str or a list of them.

        Raises:
            ModelError: ``CIMC-M13``: the attribute is a reference or not a literal.
        """
        found = self.node.attributes.get(name)
        if found is None:
            return default
        if found.is_ref() or found.type not in _LITERAL_TYPES:
            raise self.error(
                "CIMC-M13", f"attribute {name!r} is a {found.type.name}, not a literal"
            )
        value = found.value
        return list(value) if isinstance(value, list | tuple) else value

    def ints(self, name: str) -> list[int] | None:
        """Return a list attribute of integers; None when absent."""
        value = self.attribute(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise self.error("CIMC-M13", f"attribute {name!r} must be integers (got {value!r})")
        return value

    def tensor(self, name: str) -> ir.TensorProtocol | None:
        """Return a tensor attribute; None when absent."""
        found = self.node.attributes.get(name)
        return None if found is None else found.as_tensor()

    # -- results ---------------------------------------------------------------------------

    def constant(self, value: Tensor | list[int] | float, hint: str = "constant") -> Node:
        """Add a constant; integers become int64."""
        if not isinstance(value, Tensor):
            value = torch.tensor(
                value, dtype=torch.float32 if isinstance(value, float) else torch.int64
            )
        return self._builder.constant(value, hint)

    def parameter(self, value: Tensor) -> Node:
        """Add a constant of the source model, called as the first output of the node."""
        return self._builder.parameter(self.node.outputs[0].name or "constant", value)

    def call(self, name: str, *operands: Node | None, **attributes: Any) -> Node:
        """Call an operator of the table; trailing omitted operands are cut off."""
        while operands and operands[-1] is None:
            operands = operands[:-1]
        return self._builder.call(OPERATORS[name].function, operands, attributes)

    def unpack(self, call: Node, count: int) -> tuple[Node, ...]:
        """Return the items of a call that gives a tuple."""
        return tuple(self.item(call, k) for k in range(count))

    def item(self, call: Node, position: int) -> Node:
        """Return one item of a call that gives a tuple."""
        return self._builder.call(operator.getitem, (call, position), {})

    def same(self, spec: Operator, *operands: Node | None, **attributes: Any) -> Result:
        """Call an operator and hand its outputs to those of the node."""
        call = self.call(spec.name, *operands, **attributes)
        return call if spec.outputs == 1 else self.unpack(call, len(self.node.outputs))


def dtype_name(dtype: ir.DataType) -> str:
    """Return the numpy name of an element type; ``string`` for strings."""
    if dtype == ir.DataType.STRING:
        return "string"
    try:
        return str(dtype.numpy().name)
    except TypeError:
        return dtype.name.lower()
