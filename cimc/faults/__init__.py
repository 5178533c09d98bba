"""Fault maps: which cells of one chip cannot be programmed, and how the others vary."""

from cimc.faults.against import (
    checked,
    laid_over,
    require_map_for_any_chip,
    require_same_chip,
    same_faults,
)
from cimc.faults.fault_map import AT_CONDUCTANCE, AT_G_MAX, AT_G_MIN, FaultMap
from cimc.faults.rates import Clusters, Rates
from cimc.faults.reader import load_fault_map
from cimc.faults.sampling import sample
from cimc.faults.writer import save_fault_map

__all__ = [
    "AT_CONDUCTANCE",
    "AT_G_MAX",
    "AT_G_MIN",
    "Clusters",
    "FaultMap",
    "Rates",
    "checked",
    "laid_over",
    "load_fault_map",
    "require_map_for_any_chip",
    "require_same_chip",
    "same_faults",
    "sample",
    "save_fault_map",
]
