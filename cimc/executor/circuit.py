"""The circuit around the arrays, as far as it is the same for all layers of a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from cimc.device.johnson import johnson_variance_us
from cimc.device.nonlinearity import polynomial_curve, sinh_curve
from cimc.executor.physics import Physics
from cimc.targets import Target

#: Non-idealities that need random numbers in every read.
_FLUCTUATIONS = frozenset({"read", "one-over-f", "telegraph", "johnson", "adc-noise"})


@dataclass(frozen=True, slots=True)
class Circuit:
    """How arrays are driven and read.

    Attributes:
        drive: ``parallel``, ``bit-serial`` or ``pulse-width``.
        signed_inputs: ``bipolar``, ``two-phase`` or ``shift``.
        curve: I-V curve, a function of the drive in [-1, 1]; None: linear.
        johnson_us: Variance of a bit line's normalized current per uS on it [uS^2/uS]; 0: none.
        offset_lsb: Spread of converter offsets [LSB].
        gain_sigma: Spread of converter gains [-].
        noise_lsb: Standard deviation of a conversion [LSB].
        cells_fluctuate: Whether conductances change from read to read.
        imperfect: Whether anything besides converters is modelled.
    """

    drive: str
    signed_inputs: str
    curve: Callable[[Tensor], Tensor] | None
    johnson_us: float
    offset_lsb: float
    gain_sigma: float
    noise_lsb: float
    cells_fluctuate: bool
    imperfect: bool

    @property
    def linear(self) -> bool:
        """Whether a read without converters is the exact product with what the cells are.

        A shift of the inputs is not: it is removed with the sums of ideal columns.
        """
        shifted = self.signed_inputs == "shift" and self.imperfect
        noisy = self.cells_fluctuate or self.johnson_us > 0
        return not (shifted or noisy or self.curve is not None)

    @property
    def scales_inputs(self) -> bool:
        """Whether the drive has to be known as a share of full scale, even without converters."""
        return self.curve is not None or self.johnson_us > 0 or self.signed_inputs == "shift"


def circuit_of(physics: Physics) -> Circuit:
    """Return the circuit of a target, with the non-idealities that are modelled."""
    target, adc = physics.target, physics.target.adc
    return Circuit(
        target.read.drive,
        target.read.signed_inputs,
        _curve(target) if physics.on("nonlinearity") else None,
        _johnson_us(target) if physics.on("johnson") else 0.0,
        adc.offset_lsb if physics.on("adc-offset") else 0.0,
        adc.gain_sigma if physics.on("adc-gain") else 0.0,
        adc.noise_lsb if physics.on("adc-noise") else 0.0,
        bool(physics.effects & (_FLUCTUATIONS - {"johnson", "adc-noise"})),
        bool(physics.effects - {"dac", "adc"}),
    )


def _curve(target: Target) -> Callable[[Tensor], Tensor] | None:
    curve = target.cell.nonlinearity
    if curve is None:
        return None
    if curve.sinh_v is not None:
        return partial(sinh_curve, v_read_v=target.read.v_read_v, v0_v=curve.sinh_v)
    return partial(polynomial_curve, coefficients=curve.polynomial or (1.0,))


def _johnson_us(target: Target) -> float:
    thermal = target.noise.thermal
    if thermal is None or thermal.bandwidth_hz is None:
        return 0.0
    return johnson_variance_us(thermal.temperature_k, thermal.bandwidth_hz, target.read.v_read_v)
