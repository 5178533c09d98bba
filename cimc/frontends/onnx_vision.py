"""Importers of operators that read and write images at computed places."""

from __future__ import annotations

from typing import Final

from cimc.frontends.onnx_direct import direct, given
from cimc.frontends.onnx_node import Declined, Importer, NodeView, Result
from cimc.ops.table import OPERATORS

_OLD_MODES = {"bilinear": "linear", "bicubic": "cubic"}


def grid_sample(view: NodeView) -> Result:
    """Import ``GridSample``; its modes had other names before opset 20."""
    rank = view.rank(0)
    mode = view.attribute("mode", "linear")
    mode = _OLD_MODES.get(mode, mode)
    if rank not in (4, 5) or (mode == "cubic" and rank != 4):
        raise Declined(f"mode {mode!r} for an image of rank {rank}")
    attributes = given(view, OPERATORS["grid_sample"], "mode")
    return view.call("grid_sample", *view.operands, mode=mode, **attributes)


def roi_align(view: NodeView) -> Result:
    """Import ``RoiAlign``; before opset 16 coordinates have no half-pixel shift."""
    attributes = given(view, OPERATORS["roi_align"])
    if view.version < 16:
        attributes["coordinate_transformation_mode"] = "output_half_pixel"
    return view.call("roi_align", *view.operands, **attributes)


def deform_conv(view: NodeView) -> Result:
    """Import ``DeformConv`` with two spatial axes."""
    if view.rank(0) not in (4, None):
        raise Declined("not two spatial axes")
    return direct(view)


#: Importers by (domain, operator type).
IMPORTERS: Final[dict[tuple[str, str], Importer]] = {
    ("", "GridSample"): grid_sample,
    ("", "RoiAlign"): roi_align,
    ("", "DeformConv"): deform_conv,
    **{("", name): direct for name in ("AffineGrid", "Col2Im", "MaxUnpool")},
}
