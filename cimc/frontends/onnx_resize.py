"""Importers of ``Resize`` and its predecessor ``Upsample``."""

from __future__ import annotations

from typing import Final

import torch

from cimc.frontends.onnx_direct import direct
from cimc.frontends.onnx_node import Importer, NodeView, Result

_OLD_FORM = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}


def resize(view: NodeView) -> Result:
    """Import ``Resize``; before opset 11 it has scales only, and asymmetric coordinates."""
    if view.version < 11:
        return _old(view)
    return direct(view)


def _old(view: NodeView) -> Result:
    """Import ``Upsample`` and ``Resize`` of opset 10."""
    scales = view.operand(1)
    if scales is None:
        given = view.attribute("scales")
        if given is None:
            raise view.error("CIMC-M38", "no scales are given")
        scales = view.constant(torch.tensor(given, dtype=torch.float32), "scales")
    mode = view.attribute("mode", "nearest")
    mode = "linear" if mode == "bilinear" else mode
    return view.call("resize", view.required(0, "X"), None, scales, mode=mode, **_OLD_FORM)


#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "Resize"): resize,
    ("", "Upsample"): _old,
}
