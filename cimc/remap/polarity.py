"""Which columns have G+ and G- exchanged: those whose faults then hurt less."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimc.remap.damage import TileDamage
from cimc.remap.rows import Index

Signs = npt.NDArray[np.bool_]


def gain_of_exchange(damage: TileDamage, lines: Index, places: Index) -> npt.NDArray[np.float64]:
    """Return what exchanging G+ and G- of each column saves, as the tile lies.

    Args:
        damage: Of a tile of differential pairs.
        lines: Word line of each row.
        places: Place of each column.

    Returns:
        float64 ``(columns,)``, negative where it costs.
    """
    none = np.zeros(len(places), bool)
    normal = damage.per_column(damage.at(lines, places, none))
    return normal - damage.per_column(damage.at(lines, places, ~none))
