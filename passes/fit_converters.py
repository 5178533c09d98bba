"""Set the ranges of the converters around every crossbar layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cimc.errors import UsageError
from cimc.ir.network import Network, Stage
from cimc.lowering.converters import Sampling, fit_converters
from cimc.passbase import Pass, PassContext
from cimc.quantizers.periphery.fit import METHODS, Method


@dataclass(frozen=True)
class FitConverters(Pass):
    """Choose DAC and ADC full scales.

    1. With calibration data a range is ``max``: the largest magnitude; ``percentile``: that share
       of the values lies within; ``mse``: the least mean square error of each conversion;
       ``search``: the least error of the layer's output, DAC and ADC together, against that of
       float arithmetic.  DACs see the float network's inputs (searched ones too, to begin with),
       ADCs and searches sampled inputs of the quantized network, errors upstream included.
    2. Inputs that are never negative use unsigned codes, and so do currents.
    3. Without data, the DAC finds its range for each sample at run time, and the ADC range comes
       from the weights, see :mod:`cimc.quantizers.periphery.prior`.
    4. What shares one ADC range is the target's choice (``adc.range``); ``full-scale`` is the
       largest current that inputs in the DAC's range can cause, whatever the method.
    5. Input ranges that were trained stay as they are.

    Attributes:
        input_method: For DACs: ``max``, ``percentile``, ``mse`` or ``search``.
        adc_method: For ADCs, likewise.
        percentile: Of the method of that name [%].
        samples: Most calibration samples run for the ADC ranges [-].
        vectors: Most input vectors a use [-].

    Raises:
        UsageError: CIMC-U41, there is no such method, or the percentile is not one.
    """

    name: ClassVar[str] = "fit-converters"
    needs: ClassVar[Stage] = Stage.ASSIGNED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    input_method: str = "search"
    adc_method: str = "search"
    percentile: float = 99.99
    samples: int = 256
    vectors: int = 1024

    def __post_init__(self) -> None:
        for key in ("input_method", "adc_method"):
            value = getattr(self, key)
            if value not in METHODS:
                raise UsageError(
                    "CIMC-U41",
                    f"{self.name}.{key}: there is no method {value!r}",
                    hint="one of " + ", ".join(METHODS),
                )
        if not 0 < self.percentile <= 100:
            raise UsageError(
                "CIMC-U41",
                f"{self.name}.percentile must be above 0 and at most 100 (got {self.percentile})",
                hint="99.9",
            )

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with the converter settings of every use."""
        method = Method(self.input_method, self.adc_method, self.percentile)
        sampling = Sampling(context.data, self.samples, self.vectors, context.batch, context.seed)

        def report(share: float) -> None:
            context.progress(self.name, share)

        return fit_converters(network, context.target, method, sampling, report)
