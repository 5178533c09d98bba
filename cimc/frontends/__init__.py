"""Read networks of other tools into the IR."""

from __future__ import annotations

from cimc.frontends.dispatch import import_model
from cimc.frontends.onnx_import import import_onnx
from cimc.frontends.torch_import import import_torch, load_pt2

__all__ = ["import_model", "import_onnx", "import_torch", "load_pt2"]
