"""What ``compile`` is asked to train with, and what it can say of it afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from cimc.device.seeding import generator
from cimc.errors import UsageError
from cimc.ir.network import Array, Network
from cimc.pipeline import samples
from cimc.pipeline.options import Options
from cimc.training.checkpoint import clear, listed
from cimc.training.history import History
from cimc.training.parallel import from_environment
from cimc.training.recipe import Recipe
from cimc.training.settings import Training, UserLoss
from cimc.verification.data import Data, digest_of_data

#: Training samples that stand for calibration data where none are given.
CALIBRATION_SAMPLES: Final = 512


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What a call of ``compile`` says of training.

    Attributes:
        data: Inputs by name, with ``labels`` or without, or the path of an ``.npz``; None: the
            network is not trained.
        loss: In place of the recipe's.
        device: torch device that trains.
        resume: Go on from the last checkpoint.
        checkpoint: Directory of checkpoints, kept; None: beside the program, removed at the end.
        save_weights: File for the trained weights; None: they are not written.
    """

    data: Mapping[str, Array] | str | Path | None = None
    loss: UserLoss | None = None
    device: str = "cpu"
    resume: bool = False
    checkpoint: str | Path | None = None
    save_weights: str | Path | None = None

    def check(self, options: Options, output: str | Path | None) -> None:
        """Refuse what cannot be done before any work is done.

        Args:
            options: Of the compilation.
            output: Where the program is written.

        Raises:
            UsageError: CIMC-U55, settings of training and no data to train with; CIMC-U58, a
                checkpoint of another run is in the way, or there is none to go on from; CIMC-U59,
                there is no such device.
        """
        if self.data is None:
            given = {
                "--epochs, or the section 'training' of a recipe,": options.training is not None,
                "a loss": self.loss is not None,
                "--resume": self.resume,
                "a checkpoint": self.checkpoint is not None,
                "a file for trained weights": self.save_weights is not None,
                f"the device {self.device!r}": self.device != "cpu",
            }
            said = next((name for name, there in given.items() if there), None)
            if said is not None:
                raise UsageError(
                    "CIMC-U55",
                    f"{said} is given without training data",
                    hint="--train-data X.npz, or leaving it out",
                )
            return
        _check_device(self.device)
        folder = self.folder(output)
        if self.resume and folder is None:
            raise UsageError(
                "CIMC-U58",
                "resume is given, but checkpoints have no place",
                hint="an output, or a checkpoint directory",
            )
        if not self.resume and folder is not None and listed(folder):
            raise UsageError(
                "CIMC-U58",
                "checkpoints of an interrupted training are there",
                where=str(folder),
                hint="--resume to go on from them, or removing them to start again",
            )

    def folder(self, output: str | Path | None) -> Path | None:
        """Return the directory of checkpoints; None: none are written."""
        if self.checkpoint is not None:
            return Path(self.checkpoint)
        return None if output is None else Path(f"{Path(output)}.training")

    def clean(self, output: str | Path | None) -> None:
        """Remove checkpoints that nobody asked to keep: the program they were for is written."""
        folder = self.folder(output)
        if self.data is not None and self.checkpoint is None and folder is not None:
            clear(folder)
            with contextlib.suppress(OSError):  # something else is in it, and stays
                folder.rmdir()


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(
            "CIMC-U59",
            f"the device {name!r} cannot be used: {why}",
            hint="cpu, or a device torch finds",
        ) from error


@dataclass(slots=True)
class TrainingRun:
    """One fine-tuning on its way through the pipeline.

    Attributes:
        training: What the pass is given.
        calibrates: Its samples stand for calibration data.
        history: Of the run; None until it has ended.
        resumed: There is a checkpoint to go on from.
        request: What was asked for.
    """

    training: Training
    calibrates: bool
    resumed: bool
    request: TrainingRequest
    history: History | None = None

    @classmethod
    def of(
        cls,
        request: TrainingRequest,
        network: Network,
        options: Options,
        output: str | Path | None,
        *,
        calibrates: bool,
    ) -> TrainingRun | None:
        """Return the run, its data checked against the network; None where nothing is trained.

        Raises:
            ModelError: As :func:`cimc.verification.data.check_data`.
        """
        data = samples.calibration(request.data, network)
        if data is None:
            return None
        recipe = options.training or Recipe(seed=options.seed)
        folder = request.folder(output)
        training = Training(data, recipe, request.loss, folder, request.resume, request.device)
        found = request.resume and folder is not None and bool(listed(folder))
        run = cls(training, calibrates, found, request)
        run.training = replace(training, done=run._ended)
        return run

    def _ended(self, history: History) -> None:
        self.history = history

    def calibration(self, network: Network, seed: int) -> Data:
        """Return the training samples that stand for calibration data: drawn, in their order."""
        data = self.training.data
        count = min(CALIBRATION_SAMPLES, data.samples)
        fixed = [s.shape[0] for s in network.inputs if s.shape]
        batch = max((d for d in fixed if isinstance(d, int)), default=1)
        count = max(count // batch, 1) * batch if data.samples % batch == 0 else data.samples
        if count == data.samples:
            return Data(data.inputs, None, data.samples)
        random = generator(seed, "calibration samples")
        chosen = torch.randperm(data.samples, generator=random)[:count].sort().values.numpy()
        inputs = {
            n: a[chosen] if a.ndim and a.shape[0] == data.samples else a
            for n, a in data.inputs.items()
        }
        return Data(inputs, None, count)

    def provenance(self) -> dict[str, Any]:
        """Return what a program says of its training: enough to do it again."""
        training = self.training
        recipe = asdict(training.recipe)
        return {
            "data_sha256": digest_of_data(training.data),
            "samples": training.data.samples,
            "labels": training.data.labels is not None,
            "calibrates": self.calibrates,
            "loss": None if training.loss is None else _name(training.loss),
            "torch": torch.__version__,
            "device": torch.device(training.device).type,
            "processes": from_environment().size,
            "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in recipe.items()},
        }


def _name(loss: UserLoss) -> str:
    return str(getattr(loss, "__qualname__", type(loss).__qualname__))
