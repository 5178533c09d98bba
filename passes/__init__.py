"""The passes, one file each: file place_tiles.py, class PlaceTiles, name 'place-tiles'."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from cimc.passbase import Pass

if __name__ != "cimc.passes":
    raise ImportError("import cimc.passes, not passes")

#: Every pass, in the order the default pipeline runs them.  The last but one where the program is
#: for one chip; the last where the network is trained: for any chip before its cells and converter
#: ranges are found again, for one chip after ``remap``.  Imported on use.
PASSES: Final = {
    "canonicalize": "Canonicalize",
    "partition": "Partition",
    "calibrate": "Calibrate",
    "quantize": "Quantize",
    "tile-to-crossbars": "TileToCrossbars",
    "place-tiles": "PlaceTiles",
    "assign-conductance": "AssignConductance",
    "fit-converters": "FitConverters",
    "remap": "Remap",
    "finetune": "Finetune",
}


def load(name: str) -> type[Pass]:
    """Import the pass of that name.

    Raises:
        KeyError: No pass has that name.
    """
    module = import_module(f"cimc.passes.{name.replace('-', '_')}")
    cls: type[Pass] = getattr(module, PASSES[name])
    return cls
