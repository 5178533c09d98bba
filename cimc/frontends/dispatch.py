"""Find the frontend for whatever the user calls a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cimc.errors import ModelError
from cimc.ir.network import Network


def import_model(
    model: Any,
    *,
    example_inputs: Any = None,
    dynamic_shapes: Any = None,
    trust_input: bool = False,
) -> Network:
    """Import a network from a file or from memory.

    Args:
        model: Path of an ``.onnx`` or ``.pt2`` file; an ONNX model (``ModelProto``,
            ``onnx_ir.Model``, bytes); a ``torch.nn.Module``, ``GraphModule`` or
            ``ExportedProgram``.
        example_inputs: For torch modules: positional arguments to call them with.
        dynamic_shapes: For torch modules: as ``torch.export.export`` takes it.
        trust_input: Allow ``.pt2`` files, whose reading executes code they contain.

    Raises:
        ModelError: See the frontends; CIMC-M49 for a kind of model none of them takes.
    """
    if isinstance(model, str | Path) and Path(model).suffix == ".pt2":
        from cimc.frontends.torch_import import load_pt2

        return load_pt2(Path(model), trust_input=trust_input)
    if _is_torch(model):
        from cimc.frontends.torch_import import import_torch

        return import_torch(model, example_inputs, dynamic_shapes=dynamic_shapes)
    if isinstance(model, str | Path | bytes) or type(model).__module__.startswith("onnx"):
        from cimc.frontends.onnx_import import import_onnx

        return import_onnx(model)
    raise ModelError(
        "CIMC-M49",
        f"cannot import a {type(model).__name__}",
        hint="an ONNX file or model, a torch module, a GraphModule or an ExportedProgram",
    )


def _is_torch(model: Any) -> bool:
    import torch

    return isinstance(model, torch.nn.Module | torch.export.ExportedProgram)
