"""The tables by name, in the order their fine-tunings are run."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from tests.training_tables import detection_segmentation, gdq, nm, ste, tuning, types_abc

TABLES: Final[dict[str, ModuleType]] = {
    "tuning": tuning,
    "ste": ste,
    "gdq": gdq,
    "nm": nm,
    "dense": detection_segmentation,
    "types": types_abc,
}
