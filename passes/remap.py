"""Make a network for the faults of one chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args, get_type_hints

from cimc.errors import UsageError
from cimc.ir.network import Network, Stage
from cimc.lowering.converters import Sampling
from cimc.passbase import Pass, PassContext
from cimc.quantizers.periphery.fit import Method
from cimc.remap.converters import SAMPLES, VECTORS, fit_adcs
from cimc.remap.physical import ChipFaults
from cimc.remap.remap import remap
from cimc.remap.settings import RemapSettings


@dataclass(frozen=True)
class Remap(Pass):
    """Lay every layer, and choose what its cells hold, for the faults of one chip.

    1. Without the faults of a chip in ``context`` the network is left as it is.
    2. Layers in order, each for the inputs it really has on this chip: places on the arrays, then
       values the cells can still reach, by error feedback; then the gain of each column and the
       mean of each output channel are corrected, see :mod:`cimc.remap`.
    3. Without calibration data, and with ``nearest``, every weight takes the reachable value
       nearest to its own where it is, and nothing else is done.
    4. ADC ranges are fitted again to the currents of this chip; DACs stay.

    Attributes:
        method: ``nearest`` or ``feedback``.
        cells: What healthy cells may hold: ``codebook``, ``states`` or ``analog``; this and all
            that follow are of :class:`cimc.remap.settings.RemapSettings`.
        arrays: Exchange arrays.
        rows: Permute rows.
        columns: Permute columns.
        polarity: Swap G+ and G- of columns.
        feedback: Spread errors.
        descent: Sweep over all weights again.
        retarget: Aim at the outputs of the float network.
        gain: Correct the gain of every column.
        bias: Correct the mean of every output channel.
        healthy: Make layers without faults anew too.
        rounds: Alternations of layout and feedback [-].
        samples: Most calibration samples [-].
        vectors: Most input vectors a layer [-].
        damp: Share of its mean added to the diagonal of the curvature [-].
        adc_method: How ADC ranges are found, as in ``fit-converters``.
        percentile: Of the method of that name [%].

    Raises:
        UsageError: CIMC-U41, there is no such method or use of cells.
    """

    name: ClassVar[str] = "remap"
    needs: ClassVar[Stage] = Stage.ASSIGNED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    method: str = "feedback"
    cells: str = "states"
    arrays: bool = True
    rows: bool = True
    columns: bool = True
    polarity: bool = True
    feedback: bool = True
    descent: bool = True
    retarget: bool = True
    gain: bool = True
    bias: bool = True
    healthy: bool = False
    rounds: int = 1
    samples: int = 128
    vectors: int = 8192
    damp: float = 0.01
    adc_method: str = "search"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        kinds = get_type_hints(RemapSettings)
        for key in ("method", "cells"):
            if getattr(self, key) not in get_args(kinds[key]):
                raise UsageError(
                    "CIMC-U41",
                    f"{self.name}.{key}: there is no {getattr(self, key)!r}",
                    hint="one of " + ", ".join(get_args(kinds[key])),
                )

    def settings(self, seed: int) -> RemapSettings:
        """Return the settings of remapping."""
        names = [f for f in RemapSettings.__dataclass_fields__ if f != "seed"]
        values = {name: getattr(self, name) for name in names}
        return RemapSettings(**values, seed=seed)

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network as it is on the chip."""
        if context.faults is None:
            return network

        def report(share: float) -> None:
            context.progress(self.name, share)

        settings = self.settings(context.seed)
        done = remap(network, context.target, context.faults, settings, context.data, report)
        chip = ChipFaults(context.faults, context.target)
        sampling = Sampling(context.data, SAMPLES, VECTORS, context.batch, context.seed)
        method = Method(self.adc_method, self.adc_method, self.percentile)
        return fit_adcs(done.network, context.target, chip, method, sampling)
