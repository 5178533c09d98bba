"""Read networks of other tools into the IR."""

from __future__ import annotations

from cimc.frontends.onnx_import import import_onnx

__all__ = ["import_onnx"]
