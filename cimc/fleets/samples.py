"""What the programs of a fleet are run on, in files that all workers map into memory.

One process checks the samples, runs the original model (or, without it, the program without
faults) and writes inputs and answers as ``.npy`` files.  Workers map them: any number of workers
on a machine share the pages, and no worker runs the float network.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.fleets.settings import FleetSettings, digest_of_settings
from cimc.program.model import DeviceProgram
from cimc.verification.batches import batch_size, split, subset
from cimc.verification.data import Data, check_data, load_data
from cimc.verification.effects import select
from cimc.verification.evaluation import Evaluation
from cimc.verification.runners import executors
from cimc.verification.scoring import Baseline, Score, make_baseline, score

Array = npt.NDArray[Any]
_INDEX: Final = "samples.json"


@dataclass(frozen=True, slots=True)
class Standard:
    """What chips are measured against.

    Attributes:
        metric: ``top1``, ``agreement`` or ``snr_db``.
        baseline: What decisions are compared with: ``float``, or ``fault-free``, the program
            without faults in ideal mode.
        samples: Number of samples [-].
        reference: The float network's own figure; None: not known.
        fault_free: Figure of the program without faults, in the mode of the fleet.
    """

    metric: str
    baseline: str
    samples: int
    reference: float | None
    fault_free: float


def prepare(
    folder: Path, program: DeviceProgram, sha256: str, settings: FleetSettings
) -> Standard | None:
    """Write what workers measure with, unless it is there; return what to measure against.

    Args:
        folder: Where; replaced as a whole.
        program: The program without faults.
        sha256: Its digest.
        settings: What is measured.

    Returns:
        None without samples.

    Raises:
        ModelError: The samples or the reference do not fit the program.
    """
    if settings.verify_data is None:
        return None
    key = digest_of_settings(settings.to_json() | {"program": sha256})
    index = folder / _INDEX
    if index.is_file():
        said = json.loads(index.read_bytes())
        if said["key"] == key:
            return Standard(**said["standard"])
    data = check_data(load_data(settings.verify_data), program.inputs)
    if settings.samples is not None:
        data = subset(data, settings.samples)
    selection = select(program, mode=settings.mode)
    factory = executors(selection)
    evaluation = Evaluation(
        program, settings.reference, data, factory(program, "ideal", settings.seed)
    )
    scores = Measure(evaluation.feeds, evaluation.baseline, settings).scores(program)
    metric = evaluation.baseline.metric
    standard = Standard(
        metric,
        "fault-free" if settings.reference is None else "float",
        data.samples,
        evaluation.reference_figure,
        sum(s.get(metric) for s in scores) / len(scores),
    )
    _write(folder, key, standard, data, evaluation.baseline)
    return standard


def _write(folder: Path, key: str, standard: Standard, data: Data, baseline: Baseline) -> None:
    """Write arrays and, last, the index that says they are complete."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names: dict[str, dict[str, str]] = {"inputs": {}, "outputs": {}, "labels": {}}
    labels = {} if data.labels is None else {"labels": data.labels}
    for kind, arrays in (
        ("inputs", data.inputs),
        ("outputs", baseline.outputs),
        ("labels", labels),
    ):
        for i, (name, array) in enumerate(arrays.items()):
            names[kind][name] = f"{kind}-{i}.npy"
            plain = np.asarray(array)
            # Texts, and types numpy cannot write: as one it can, converted back when read.
            plain = plain.astype(str) if plain.dtype.hasobject else plain
            plain = plain.astype(np.float32) if plain.dtype.kind == "V" else plain
            np.save(folder / names[kind][name], plain)
    said = {"key": key, "samples": data.samples, "names": names}
    said["standard"] = {n: getattr(standard, n) for n in Standard.__slots__}
    temporary = folder / f"{_INDEX}.partial"
    temporary.write_text(json.dumps(said))
    os.replace(temporary, folder / _INDEX)


class Measure:
    """Runs programs over the same samples, against the same answers."""

    def __init__(
        self, feeds: list[dict[str, Array]], baseline: Baseline, settings: FleetSettings
    ) -> None:
        """Take the samples cut into runs, and the answers.

        Args:
            feeds: Runs, in the order of the samples.
            baseline: What to compare with.
            settings: Mode and seeds.
        """
        self._feeds, self._baseline, self._settings = feeds, baseline, settings

    @classmethod
    def opened(cls, folder: Path, program: DeviceProgram, settings: FleetSettings) -> Measure:
        """Map the files of :func:`prepare`."""
        said = json.loads((folder / _INDEX).read_bytes())

        def arrays(kind: str) -> dict[str, Array]:
            # Copy-on-write: torch wants writable memory, the files must never change.
            return {
                name: np.load(folder / file, mmap_mode="c", allow_pickle=False)
                for name, file in said["names"][kind].items()
            }

        labels = arrays("labels").get("labels")
        data = check_data(arrays("inputs") | ({} if labels is None else {"labels": labels}),
                          program.inputs)  # fmt: skip
        outputs = arrays("outputs")
        feeds = split(data, program.inputs, batched=program.batched, batch=batch_size(data))
        return cls(feeds, make_baseline(outputs, outputs, data.labels), settings)

    @property
    def metric(self) -> str:
        """The figure that says most."""
        return self._baseline.metric

    def scores(self, program: DeviceProgram) -> list[Score]:
        """Run a program over the samples: once, in mode ``chip`` once for every seed."""
        settings = self._settings
        factory = executors(select(program, mode=settings.mode))
        seeds = settings.seeds if settings.mode == "chip" else 1
        return [
            score(factory(program, settings.mode, settings.seed + i), self._feeds, self._baseline)
            for i in range(seeds)
        ]


def figures(scores: list[Score], metric: str) -> Mapping[str, float | None]:
    """Return the columns of a chip's record that say how well it does."""
    values = [s.get(metric) for s in scores]  # type: ignore[arg-type]
    agreed = [s.agreement for s in scores if s.agreement is not None]
    return {
        "accuracy": sum(values) / len(values),
        "accuracy_min": min(values),
        "agreement": sum(agreed) / len(agreed) if agreed else None,
        "snr_db": sum(s.snr_db for s in scores) / len(scores),
    }
