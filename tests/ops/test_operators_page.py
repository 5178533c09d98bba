"""docs/operators.md says what is true."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
from onnxruntime.capi import onnxruntime_pybind11_state as state

from cimc.frontends.onnx_table import IMPORTERS
from cimc.ops.table import OPERATORS

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_operators", DOCS / "generate_operators.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    committed = (DOCS / "operators.md").read_text(encoding="utf-8")
    assert generator().page() == committed, "run: python docs/generate_operators.py"


def test_more_than_a_hundred_operators_are_native():
    names = {s.name for s in onnx.defs.get_all_schemas() if not s.domain}
    assert sum(name in names for _, name in IMPORTERS) > 150


def test_onnxruntime_has_kernels_for_what_is_called_opaque():
    """Functions, which onnxruntime expands, have none of their own."""
    kernels = {(k.domain, k.op_name) for k in state.get_all_opkernel_def()}
    functions = {s.name for s in onnx.defs.get_all_schemas() if s.has_context_dependent_function}
    functions |= {s.name for s in onnx.defs.get_all_schemas() if s.has_function}
    assert {n for n in generator().OPAQUE if ("", n) not in kernels} <= functions


def test_every_operator_is_reached_by_an_importer_or_says_why_not():
    own = {"opaque", "max_pool_indices", "layer_normalization_statistics"}
    named = {n for n, s in OPERATORS.items() if (s.domain, s.onnx) in IMPORTERS}
    assert set(OPERATORS) - named == own
