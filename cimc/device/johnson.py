"""Johnson noise: the thermal noise current of the conductances on a bit line.

J. B. Johnson, Phys. Rev. 32, 97 (1928); H. Nyquist, Phys. Rev. 32, 110 (1928): a conductance G at
temperature T has a noise current of variance ``4 k T B G`` in a bandwidth B, whatever the voltage
across it.  Conductances in parallel add up.
"""

from __future__ import annotations

from cimc.device.constants import BOLTZMANN_J_PER_K


def johnson_variance_us(temperature_k: float, bandwidth_hz: float, v_read_v: float) -> float:
    """Return the variance of a normalized bit-line current per uS on the bit line [uS^2/uS].

    Currents are normalized by the read voltage, ``i = I / v_read``: with the conductances of the
    bit line adding up to ``G`` uS, ``i`` [uS] has variance ``4 k T B / v_read**2 * 1e6 * G``.

    Args:
        temperature_k: Temperature while reading [K].
        bandwidth_hz: Noise bandwidth of the read [Hz].
        v_read_v: Read voltage [V].
    """
    siemens_squared = 4 * BOLTZMANN_J_PER_K * temperature_k * bandwidth_hz / v_read_v**2
    # (S^2 per S) to (uS^2 per uS).
    return siemens_squared * 1e6
