"""From a model to a device program, and the public verbs around it."""

from cimc.pipeline.compile import compile_model
from cimc.pipeline.report import CompileReport, CompileResult, PassReport

__all__ = ["CompileReport", "CompileResult", "PassReport", "compile_model"]
