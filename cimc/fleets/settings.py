"""What is done with every chip of a fleet, and what of it the results depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cimc.errors import UsageError
from cimc.version import __version__

Mode = Literal["ideal", "noise-free", "chip"]
Keep = Literal["all", "none", "passing"]


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What is done with every chip.

    Attributes:
        method: ``nearest`` or ``feedback``, see :func:`cimc.recompile`; None: ``feedback`` where
            there are calibration inputs.
        cells: What healthy cells may hold, see :class:`cimc.remap.settings.RemapSettings`; None:
            the default.
        data: Calibration inputs instead of those the program keeps; a path.
        train_data: Samples for training around the faults of every chip; a path.
        recipe: How that is done; a path.
        skip: Ingredients of the method that are left out.
        healthy: Layers without faults are made anew too.
        verify_data: Samples every program is run on; a path.
        reference: The original model, an ONNX file: what decisions are compared with.
        samples: First samples of ``verify_data`` that are used; None: all [-].
        mode: In which programs are run: ``ideal`` and ``noise-free`` are certain, ``chip`` draws.
        seeds: Runs of every program in mode ``chip`` [-].
        seed: Of the first of them, and of the choice of calibration vectors.
        min_accuracy: What a chip must reach to pass, in [0, 1]; None: to be compiled.
        keep_programs: Which programs stay on disk.
        threads: Of one worker; sums may round differently with another number [-].
    """

    method: Literal["nearest", "feedback"] | None = None
    cells: Literal["codebook", "states", "analog"] | None = None
    data: str | None = None
    train_data: str | None = None
    recipe: str | None = None
    skip: tuple[str, ...] = ()
    healthy: bool = False
    verify_data: str | None = None
    reference: str | None = None
    samples: int | None = None
    mode: Mode = "ideal"
    seeds: int = 1
    seed: int = 0
    min_accuracy: float | None = None
    keep_programs: Keep = "all"
    threads: int = 1

    def check(self) -> None:
        """Refuse values out of range and gates without data.

        Raises:
            UsageError: CIMC-U02 out of range, CIMC-U04 there is nothing to measure accuracy with.
        """
        accuracy = self.min_accuracy
        within("mode", self.mode, self.mode in ("ideal", "noise-free", "chip"), "ideal, chip")
        within(
            "keep_programs",
            self.keep_programs,
            self.keep_programs in ("all", "none", "passing"),
            "all, none or passing",
        )
        within("seed", self.seed, 0 <= self.seed < 2**62, "0 to 2**62")
        within("seeds", self.seeds, self.seeds >= 1, "1 or more")
        within("threads", self.threads, self.threads >= 1, "1 or more")
        within("samples", self.samples, self.samples is None or self.samples >= 1, "1 or more")
        within(
            "min_accuracy",
            accuracy,
            accuracy is None or 0.0 <= accuracy <= 1.0,
            "0 to 1 (a share)",
        )
        needing = {
            "--min-accuracy": accuracy is not None,
            "--reference": self.reference is not None,
            "--samples": self.samples is not None,
            "--mode": self.mode != "ideal",
        }
        asked = next((option for option, given in needing.items() if given), None)
        if self.verify_data is None and asked is not None:
            raise UsageError(
                "CIMC-U04",
                "there are no samples to measure accuracy with",
                where=asked,
                hint="--verify-data X.npz",
            )

    def to_json(self) -> dict[str, Any]:
        """Return everything that results depend on; files by their digests."""
        plain: dict[str, Any] = {
            "cimc_version": __version__,
            "method": self.method,
            "cells": self.cells,
            "skip": list(self.skip),
            "healthy": self.healthy,
            "keep_programs": self.keep_programs,
            "threads": self.threads,
            "seed": self.seed,
        }
        for name in ("data", "train_data", "recipe", "verify_data", "reference"):
            path = getattr(self, name)
            plain[name] = None if path is None else digest_of(path)
        if self.verify_data is not None:
            plain |= {"samples": self.samples, "mode": self.mode}
            if self.mode == "chip":
                plain["seeds"] = self.seeds
        if self.keep_programs == "passing":
            plain["min_accuracy"] = self.min_accuracy
        return plain


def digest_of(path: str | Path) -> str:
    """Return the sha256 of a file.

    Raises:
        UsageError: CIMC-U07, it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError("CIMC-U07", f"cannot read or write: {why}", where=str(path)) from error


def digest_of_settings(plain: Mapping[str, Any]) -> str:
    """Return the sha256 of plain data."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def within(name: str, value: object, holds: bool, allowed: str) -> None:
    """Refuse a value of an option unless it is allowed.

    Raises:
        UsageError: CIMC-U02.
    """
    if not holds:
        option = "--" + name.replace("_", "-")
        raise UsageError(
            "CIMC-U02",
            f"{name.replace('_', ' ')} {value} is out of range",
            where=option,
            hint=f"a value {allowed}",
        )
