"""Importers of the rarer operators, see :mod:`cimc.frontends.onnx_table`."""

from __future__ import annotations

from typing import Final

from cimc.frontends import (
    onnx_attention,
    onnx_elements,
    onnx_recurrent,
    onnx_resize,
    onnx_signal,
    onnx_vision,
)
from cimc.frontends.onnx_node import Importer

#: Importers by (domain, operator type).
EXOTIC: Final[dict[tuple[str, str], Importer]] = {
    **onnx_recurrent.IMPORTERS,
    **onnx_attention.IMPORTERS,
    **onnx_resize.IMPORTERS,
    **onnx_elements.IMPORTERS,
    **onnx_vision.IMPORTERS,
    **onnx_signal.IMPORTERS,
}
