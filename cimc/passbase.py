"""What a pass is, and what it may know besides the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from cimc.faults.fault_map import FaultMap
from cimc.ir.network import Network, Stage
from cimc.targets import Target
from cimc.training.settings import Training
from cimc.verification.data import Data

#: Called with what is being done and the share done, 0..1.
Progress = Callable[[str, float], None]


def silent(what: str, share: float) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class PassContext:
    """What every pass is given beside the network.

    Attributes:
        target: The device compiled for.
        data: Calibration inputs, checked against the network's; None without data.
        seed: Seed of everything drawn at random.
        batch: Samples run at once.
        progress: Told how far long work is.
        training: What fine-tuning is given; None: the network is not trained.
        faults: The faults of the one chip compiled for; None: for any chip.
    """

    target: Target
    data: Data | None = None
    seed: int = 0
    batch: int = 32
    progress: Progress = field(default=silent)
    training: Training | None = None
    faults: FaultMap | None = None


@dataclass(frozen=True)
class Pass(ABC):
    """One step of the pipeline; its fields are its options.

    A pass is given a valid network at stage ``needs`` or later and returns a new valid network
    at stage ``gives``; the pipeline checks both.  The network given is not changed.
    """

    name: ClassVar[str]
    needs: ClassVar[Stage]
    gives: ClassVar[Stage]

    @abstractmethod
    def run(self, network: Network, context: PassContext) -> Network:
        """Return the transformed network."""
