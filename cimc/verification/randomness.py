"""Which non-idealities make chips, or runs of a chip, differ on a given target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from cimc.targets import Target
from cimc.targets.compatibility import FIXED

Still = Callable[[Target, float], bool]


def _programming(target: Target, at_s: float) -> bool:
    noise = target.noise.programming
    if noise is None:
        return True
    spread = (noise.sigma_us, noise.sigma_relative, noise.sigma_log, *(noise.polynomial or ()))
    return not any(spread)


def _device_to_device(target: Target, at_s: float) -> bool:
    noise = target.noise.device_to_device
    return noise is None or not (noise.sigma_lrs or noise.sigma_hrs)


def _correlated(target: Target, at_s: float) -> bool:
    noise = target.noise.correlated
    return noise is None or not (noise.sigma_relative or noise.wafer_sigma_relative)


def _drift(target: Target, at_s: float) -> bool:
    law = target.noise.drift
    if law is None or at_s <= law.t0_s:
        return True
    return not (law.nu_sigma or law.nu_sigma_slope or law.nu_sigma_limits[0])


def _relaxation(target: Target, at_s: float) -> bool:
    law = target.noise.relaxation
    return law is None or not (at_s and law.sigma_relative)


def _one_over_f(target: Target, at_s: float) -> bool:
    read = target.noise.read
    return read is None or read.one_over_f is None or not read.one_over_f.amplitude


def _telegraph(target: Target, at_s: float) -> bool:
    read = target.noise.read
    noise = None if read is None else read.telegraph
    return noise is None or not (noise.amplitude and noise.cells and noise.occupancy)


def _stuck(target: Target, at_s: float) -> bool:
    return target.stuck is None or not (target.stuck.at_g_min or target.stuck.at_g_max)


def _lines(target: Target, at_s: float) -> bool:
    return target.lines is None or not any(target.lines.model_dump().values())


#: By name, whether a non-ideality is the same on every chip and in every run at a time [s].
_STILL: Final[Mapping[str, Still]] = {
    "programming": _programming,
    "device-to-device": _device_to_device,
    "correlated": _correlated,
    "drift": _drift,
    "relaxation": _relaxation,
    "one-over-f": _one_over_f,
    "telegraph": _telegraph,
    "stuck": _stuck,
    "lines": _lines,
}


def random(target: Target, effects: AbstractSet[str], at_s: float) -> frozenset[str]:
    """Return which of some non-idealities are drawn at random: they have a spread on this target.

    Args:
        target: The device.
        effects: Names of non-idealities.
        at_s: Time after programming [s].
    """
    left = frozenset(effects) - FIXED
    return frozenset(n for n in left if n not in _STILL or not _STILL[n](target, at_s))
