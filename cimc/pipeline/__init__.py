"""From a model to a device program, and the public verbs around it.

Compiling reads models, which programs need not be: it is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cimc.pipeline.report import CompileReport, CompileResult, PassReport

if TYPE_CHECKING:
    from cimc.pipeline.compile import compile_model

__all__ = ["CompileReport", "CompileResult", "PassReport", "compile_model"]


def __getattr__(name: str) -> object:
    if name == "compile_model":
        from cimc.pipeline.compile import compile_model

        return compile_model
    raise AttributeError(f"module 'cimc.pipeline' has no attribute {name!r}")
