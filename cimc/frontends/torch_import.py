"""torch to the IR: modules are exported to ONNX in memory and go through the one importer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from cimc.errors import ModelError
from cimc.frontends.onnx_import import import_onnx
from cimc.frontends.torch_check import check_agreement
from cimc.frontends.torch_quiet import quiet
from cimc.ir.network import Network

#: What can be imported from torch: a module (a ``GraphModule`` is one) or an exported program.
TorchSource = nn.Module | ExportedProgram
#: Operator set asked of torch's exporter.
OPSET = 20


def import_torch(
    source: TorchSource,
    example_inputs: Any = None,
    *,
    dynamic_shapes: Any = None,
) -> Network:
    """Import a torch network with its parameter names.

    The module is copied, never changed.  The exported model is compared with the module on the
    example inputs, so an export that changed the meaning is refused here.

    Args:
        source: Module in evaluation mode, ``torch.fx.GraphModule`` or exported program.
        example_inputs: A tensor, or the positional arguments of a call; may be omitted for an
            exported program that carries its own.
        dynamic_shapes: As ``torch.export.export`` takes it; for modules only.

    Raises:
        ModelError: ``CIMC-M40`` example inputs are missing or not tensors, ``CIMC-M41`` in
            training mode, ``CIMC-M42`` torch cannot export it, ``CIMC-M43`` the export gives
            other results than the module, ``CIMC-M46`` onnxruntime cannot run the export.
    """
    program = isinstance(source, ExportedProgram)
    if dynamic_shapes is not None and program:
        raise ModelError(
            "CIMC-M40",
            "an exported program has its dynamic shapes already",
            hint="giving dynamic_shapes to torch.export.export",
        )
    arguments = _arguments(source, example_inputs)
    if isinstance(source, nn.Module):
        _refuse_training(source)
        source = _copied(source)
    model = _export(source, arguments, dynamic_shapes)
    network = import_onnx(model, kind="torch")
    check_agreement(network, source, arguments)
    # The export has constants besides; only what the user can load back is a parameter.
    own = source.state_dict() if isinstance(source, nn.Module) else source.state_dict
    names = {k: v for k, v in network.parameter_names.items() if v in own}
    return replace(network, parameter_names=names)


def load_pt2(path: Path, *, trust_input: bool) -> Network:
    """Import a ``.pt2`` file.

    Args:
        path: File written by ``torch.export.save``.
        trust_input: The user vouches for the file: reading one unpickles objects, which runs
            code the file contains.

    Raises:
        ModelError: ``CIMC-M44`` not trusted, ``CIMC-M45`` not readable.
    """
    if not trust_input:
        raise ModelError(
            "CIMC-M44",
            "reading a .pt2 file unpickles objects: it can run any code the file contains",
            where=str(path),
            hint="--trust-input if you know where the file comes from, or exporting to ONNX",
        )
    try:
        with quiet():
            program = torch.export.load(path)
    except Exception as error:
        raise ModelError(
            "CIMC-M45", f"not a readable .pt2 file: {_first_line(error)}", where=str(path)
        ) from error
    return import_torch(program)


def _arguments(source: TorchSource, given: Any) -> tuple[Any, ...]:
    """Return the example inputs as positional arguments."""
    if given is None and isinstance(source, ExportedProgram) and source.example_inputs:
        positional, keywords = source.example_inputs
        if not keywords:
            return tuple(positional)
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    if isinstance(given, Tensor):
        return (given,)
    if isinstance(given, Sequence) and not isinstance(given, str) and given:
        return tuple(torch.from_numpy(v) if isinstance(v, np.ndarray) else v for v in given)
    if isinstance(given, Mapping):
        raise ModelError(
            "CIMC-M40",
            "example inputs by name are not supported",
            hint="a tuple of the module's positional arguments",
        )
    raise ModelError(
        "CIMC-M40",
        f"a torch network needs example inputs (got {type(given).__name__})",
        hint="example_inputs=(x,) with tensors of the shapes the network is called with",
    )


def _refuse_training(module: nn.Module) -> None:
    """Refuse a module of which a part is in training mode."""
    for name, part in _parts(module):
        if part.training:
            what = f"module {name!r} ({type(part).__name__})" if name else "the module"
            raise ModelError(
                "CIMC-M41",
                f"{what} is in training mode: dropout and batch statistics would be exported",
                hint="module.eval() before compiling",
            )


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules whose mode matters, by name.

    Of a graph module that is those it calls: the mode of its own operations is part of the graph
    (an active dropout is refused when its node is imported), and the flag of ``program.module()``
    of an exported program says nothing.
    """
    if not isinstance(module, GraphModule):
        yield from module.named_modules()
        return
    for node in module.graph.nodes:
        if node.op == "call_module":
            called = module.get_submodule(str(node.target))
            for name, part in called.named_modules(prefix=str(node.target)):
                # Guards of an exported program check inputs; they have no mode either.
                if not name.startswith("_guards"):
                    yield name, part


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy of a module without gradients."""
    try:
        with quiet():
            copied = copy.deepcopy(module)
    except Exception as error:
        raise ModelError(
            "CIMC-M42",
            f"the module cannot be copied: {_first_line(error)}",
            where=type(module).__name__,
            hint="tensors that are results of computations out of its attributes",
        ) from error
    return copied.requires_grad_(False)


def _export(source: TorchSource, arguments: tuple[Any, ...], dynamic_shapes: Any) -> Any:
    """Return the ``onnx_ir.Model`` torch exports."""
    try:
        with quiet(), torch.no_grad():
            exported = torch.onnx.export(
                source,
                () if isinstance(source, ExportedProgram) else arguments,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=OPSET,
                dynamic_shapes=dynamic_shapes,
            )
    except Exception as error:
        raise ModelError(
            "CIMC-M42",
            f"torch cannot export the network: {_first_line(error)}",
            where=type(source).__name__,
            hint="torch.export.export(module, args) alone, whose message says more",
        ) from error
    if exported is None:
        raise ModelError("CIMC-M42", "torch exported nothing", where=type(source).__name__)
    return exported.model


def _first_line(error: BaseException) -> str:
    """Return the cause an exporter's error ends with, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
