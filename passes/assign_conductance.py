"""Turn the quantized weights into the conductances of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cimc.ir import rewrite
from cimc.ir.network import Network, Stage
from cimc.lowering.assign import assign
from cimc.passbase import Pass, PassContext


@dataclass(frozen=True)
class AssignConductance(Pass):
    """Give every cell the conductance it is to be programmed to.

    1. Differential pair with unified reference [GDQ §4.4]: the positive (negative) cell carries a
       positive (negative) weight, its partner stands at G_min.
    2. Offset column: one cell a weight, around the middle conductance that the offset cells hold.
    3. Bit-sliced [NM §5.4]: a cell a bit, at G_min for 0.  With digital multipliers a 1 is G_max;
       with multipliers in the conductances, a share of the range in proportion to its multiplier.
    4. Signed (the ideal target): the weight itself, exactly.
    5. The largest magnitude (multiplier) of a layer (of a column, where columns have their own
       levels) takes the whole conductance range; what that costs in scale is a digital gain.
    """

    name: ClassVar[str] = "assign-conductance"
    needs: ClassVar[Stage] = Stage.PLACED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the cells of every layer."""
        tensors = rewrite.attributes(network.graph)
        layers = {}
        for name, layer in network.layers.items():
            matrix = layer.geometry.to_matrix(tensors[layer.weight].detach())
            cells, encoding = assign(layer, matrix, context.target)
            layers[name] = replace(layer, cells=cells, encoding=encoding)
        return replace(network, layers=layers, stage=Stage.ASSIGNED)
