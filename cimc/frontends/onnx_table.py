"""Which ONNX operators are imported natively, and by which function."""

from __future__ import annotations

from typing import Final

from cimc.frontends.onnx_direct import direct
from cimc.frontends.onnx_exotic import EXOTIC
from cimc.frontends.onnx_node import Importer

#: Operators whose old forms differ from the newest in nothing that matters.
_DIRECT: Final = (
    "Conv",
    "ConvTranspose",
)

#: Importers by (domain, operator type).  Everything else becomes opaque.
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    **{("", name): direct for name in _DIRECT},
    **EXOTIC,
}
