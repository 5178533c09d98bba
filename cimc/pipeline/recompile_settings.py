"""How a program is to be recompiled: settings checked and filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from cimc.errors import ProgramError, UsageError
from cimc.quantizers.periphery.fit import METHODS, Method
from cimc.remap.settings import RemapSettings
from cimc.verification.data import Data

#: Ingredients of ``feedback`` that can be left out.
INGREDIENTS: Final = (
    "arrays", "rows", "columns", "polarity", "feedback", "descent", "retarget", "gain", "bias"
)  # fmt: skip

#: Longest value shown in a message [character].
_SHOWN: Final = 60
#: Where seeds end that leave room to count on from them.
_SEEDS: Final = (1 << 64) - (1 << 32)

MethodName = Literal["nearest", "feedback"]


def settings_of(
    settings: RemapSettings | None,
    method: str | None,
    skip: Sequence[str],
    data: Data | None,
) -> RemapSettings:
    """Return the settings of remapping.

    Args:
        settings: What they start from; None: the defaults.
        method: Wins; None: ``nearest`` where there are no calibration data.
        skip: Ingredients that are left out.
        data: Calibration inputs.

    Raises:
        UsageError: CIMC-U65, there is no such method or ingredient; CIMC-U06, something that
            ``nearest`` does not have; CIMC-U66, ``feedback`` without calibration data.
    """
    given = settings or RemapSettings()
    if method is None and data is None:
        given = replace(given, method="nearest")
    if method is not None:
        if method not in ("nearest", "feedback"):
            raise UsageError(
                "CIMC-U65", f"there is no method {method!r}", hint="nearest or feedback"
            )
        given = replace(given, method=method)  # type: ignore[arg-type]
    for name in skip:
        if name not in INGREDIENTS:
            raise UsageError(
                "CIMC-U65",
                f"there is no ingredient {name!r} to skip",
                hint="one of " + ", ".join(INGREDIENTS),
            )
    if given.method == "nearest" and (skip or given.healthy):
        option = f"--skip {','.join(skip)}" if skip else "--healthy"
        raise UsageError(
            "CIMC-U06",
            f"{option} is for error feedback, and the method is nearest",
            hint="--method feedback, with calibration data; or leave it out",
        )
    left_out: dict[str, Any] = dict.fromkeys(skip, False)
    given = replace(given, **left_out)
    if given.method == "feedback" and data is None:
        raise UsageError(
            "CIMC-U66",
            "error feedback needs calibration data, and the program holds none",
            hint="--data X.npz, or --method nearest",
        )
    return given


def require_provenance(provenance: Mapping[str, Any]) -> None:
    """Check what is taken from a program's provenance: anything may stand there.

    Raises:
        ProgramError: CIMC-P07, a value is of the wrong type or out of range.
    """
    for name in ("model", "recompiled"):
        if not isinstance(provenance.get(name, {}), Mapping):
            raise _wrong(name, provenance[name])
    seed = provenance.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < _SEEDS:
        raise _wrong("seed", seed)
    steps = provenance.get("pipeline", ())
    if not isinstance(steps, list | tuple):
        raise _wrong("pipeline", steps)
    for step in steps:
        if isinstance(step, Mapping) and step.get("pass") == "fit-converters":
            _require_method(step.get("options", {}))


def _require_method(options: Any) -> None:
    where = "pipeline: fit-converters"
    if not isinstance(options, Mapping):
        raise _wrong(where, options)
    for name in ("input_method", "adc_method"):
        if options.get(name, "search") not in METHODS:
            raise _wrong(f"{where}: {name}", options[name])
    share = options.get("percentile", 99.99)
    if type(share) not in (int, float) or not 0 <= share <= 100:
        raise _wrong(f"{where}: percentile", share)


def _wrong(name: str, value: object) -> ProgramError:
    text = repr(value)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return ProgramError("CIMC-P07", f"this cannot be (got {shown})", where=f"provenance: {name}")


def converter_method(provenance: Mapping[str, Any]) -> Method:
    """Return how the program's converter ranges were found."""
    for step in provenance.get("pipeline", ()):
        if isinstance(step, Mapping) and step.get("pass") == "fit-converters":
            options = step.get("options", {})
            return Method(
                str(options.get("input_method", "search")),
                str(options.get("adc_method", "search")),
                float(options.get("percentile", 99.99)),
            )
    return Method("search", "search", 99.99)
