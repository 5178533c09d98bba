"""Names of the files of a program and of the tensors in them."""

from __future__ import annotations

from typing import Final

SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "program.yaml"
PROGRAM: Final = "program.safetensors"
GOLDEN: Final = "golden.safetensors"
CALIBRATION: Final = "calibration.safetensors"

#: Files every program has, and those it may have.
REQUIRED: Final = frozenset({SUMS, MANIFEST, PROGRAM})
ALLOWED: Final = REQUIRED | {GOLDEN, CALIBRATION}

FAULT_CELLS: Final = "faults/cells"
FAULT_CONDUCTANCES: Final = "faults/conductance_us"
GAIN_ARRAYS: Final = "faults/gain_arrays"
GAIN_LRS: Final = "faults/gain_lrs"
GAIN_HRS: Final = "faults/gain_hrs"


def constant(name: str) -> str:
    """Return the tensor of a digital constant."""
    return f"constant/{name}"


def of_layer(layer: str, what: str) -> str:
    """Return a tensor of a layer: ``plane0``, ``states_us``, ``gain``, ``tiles``, ..."""
    # No ambiguity: the last part never holds a slash.
    return f"layer/{layer}/{what}"


def plane(layer: str, index: int) -> str:
    """Return the tensor of one device plane of a layer."""
    return of_layer(layer, f"plane{index}")


def adc_range(layer: str, use: int) -> str:
    """Return the tensor of the ADC full scales of one use of a layer [uS]."""
    return of_layer(layer, f"adc{use}_us")
