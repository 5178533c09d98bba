"""Whether an exported network gives what the torch module gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from cimc.errors import ModelError
from cimc.frontends.torch_quiet import quiet
from cimc.ir.network import Network

#: Largest difference between the export and the module, relative to the largest output.
TOLERANCE = 1e-3


def check_agreement(
    network: Network, source: nn.Module | ExportedProgram, arguments: tuple[Any, ...]
) -> None:
    """Compare the exported model, run by onnxruntime, with the module on the example inputs.

    Raises:
        ModelError: ``CIMC-M43``: they differ; ``CIMC-M46``: onnxruntime cannot run the export.
    """
    with torch.no_grad(), quiet():
        module = source.module() if isinstance(source, ExportedProgram) else source
        expected = _tensors(module(*arguments))
    feeds = dict(
        zip((s.name for s in network.inputs), map(_array, _tensors(arguments)), strict=False)
    )
    try:
        got = list(network.source.oracle(feeds).values())
    except ModelError as error:
        raise ModelError(
            "CIMC-M46",
            f"there is no float reference of the export: {error.message}",
            hint="module.float(): onnxruntime lacks many operators in half precision",
        ) from error
    if len(got) != len(expected):
        raise _disagree(f"{len(got)} outputs, the module has {len(expected)}")
    for signal, a, b in zip(network.outputs, got, map(_array, expected), strict=True):
        if a.shape != b.shape:
            raise _disagree(f"output {signal.name!r} has shape {a.shape}, not {b.shape}")
        worst = _relative(a, b)
        if not worst <= TOLERANCE:
            raise _disagree(f"output {signal.name!r} differs by {worst:.2g} of its largest value")


def _tensors(values: Any) -> list[Tensor]:
    """Return the tensors of nested arguments or results, in the order of the exporter."""
    return [v for v in pytree.tree_leaves(values) if isinstance(v, Tensor)]


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    value = value.detach().cpu()
    return np.asarray(value.float() if value.dtype == torch.bfloat16 else value)


def _relative(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Return the largest difference, relative to the largest finite value of ``b``."""
    x, y = np.asarray(a, np.complex128), np.asarray(b, np.complex128)
    finite = np.isfinite(y)
    same = np.array_equal(x[~finite], y[~finite], equal_nan=True)
    if not same or not np.isfinite(x[finite]).all():
        return float("nan")
    if not finite.any():
        return 0.0
    scale = float(np.abs(y[finite]).max())
    return float(np.abs(x[finite] - y[finite]).max()) / max(scale, 1e-6)


def _disagree(what: str) -> ModelError:
    return ModelError(
        "CIMC-M43",
        f"the export does not agree with the torch module: {what}",
        hint="a module whose result depends on its inputs alone (no randomness, no state), "
        "or reporting this as a bug of the exporter",
    )
