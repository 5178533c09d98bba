"""Expand operators that ONNX defines as functions and that nothing here runs as they are."""

from __future__ import annotations

import onnx
import onnx.inliner

#: Such operators, by domain and name.
FUNCTIONS = (("ai.onnx.preview", "FlexAttention"),)


def expand_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with every operator of :data:`FUNCTIONS` replaced by its definition."""
    if not any((n.domain, n.op_type) in FUNCTIONS for n in model.graph.node):
        return model
    return onnx.inliner.inline_selected_functions(
        model, list(FUNCTIONS), exclude=False, inline_schema_functions=True
    )
