"""Importers of the rarer operators, see :mod:`cimc.frontends.onnx_table`."""

from __future__ import annotations

from typing import Final

from cimc.frontends import onnx_recurrent
from cimc.frontends.onnx_node import Importer

#: Importers by (domain, operator type).
EXOTIC: Final[dict[tuple[str, str], Importer]] = {**onnx_recurrent.IMPORTERS}
