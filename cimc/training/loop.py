"""The training loop: batches, chips, gradients, steps, checkpoints, evaluations.

What it trains is anything with the methods of :class:`Trainable`.  A run is a function of recipe,
data and initial network only: every step draws from the seed and its number, so that a run that
was killed and goes on from a checkpoint ends in the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training import checkpoint as checkpoints
from cimc.training import drawn, schedule
from cimc.training.batches import Run, Samples
from cimc.training.checkpoint import Checkpoint
from cimc.training.evaluate import Yardstick, evaluate, yardstick
from cimc.training.history import Epoch, Evaluated, History
from cimc.training.loss import Objective, OutcomeLike
from cimc.training.make_loss import Probe, make_objective
from cimc.training.optimizer import Stepper
from cimc.training.parallel import Ranks, processes
from cimc.training.settings import Teacher, Training
from cimc.training.teacher import LAYER, Answers
from cimc.training.telling import Telling
from cimc.verification.batches import batch_size
from cimc.verification.data import Data
from cimc.verification.options import Progress, silent
from cimc.version import __version__

#: Most training samples that converter ranges are fitted to [-].
REFIT_SAMPLES = 512


class Trainable(Protocol):
    """What the loop trains: ``cimc.training.trainable.TrainableNetwork``, or a stand-in.

    Also an ``nn.Module`` whose ``state_dict`` holds, as tensors, everything training changes.
    """

    def __call__(
        self, inputs: Sequence[Tensor], chip: int | None, *, taps: bool = False
    ) -> OutcomeLike:
        """Run the network on a chip; None: quantized weights, no device."""

    def groups(self) -> list[dict[str, Any]]:
        """Return parameter groups of the optimizer, each with ``lr_scale``."""

    def penalty(self) -> Tensor:
        """Return the penalty of weights off their levels, without lambda [NM Eq. 6]."""

    def after_step(self) -> None:
        """Test whether levels still fit [GDQ Alg. 1]."""

    def refit(self, data: Data) -> None:
        """Fit converter ranges to the weights as they are."""

    def train(self, mode: bool = True) -> Any:
        """Begin to train."""

    def eval(self) -> Any:
        """Stop training."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that training changes."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """Take it back."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield parameters with names for messages."""


def fit(
    trainable: Trainable,
    training: Training,
    *,
    signals_in: Sequence[Signal],
    signals_out: Sequence[Signal],
    teacher: Teacher | None = None,
    batched: bool = True,
    progress: Progress = silent,
) -> History:
    """Train a network in place; return what happened.

    Args:
        trainable: The network; in evaluation mode afterwards.
        training: Data, recipe, checkpoints.
        signals_in: The network's inputs.
        signals_out: The network's outputs.
        teacher: The float network: inputs by name to outputs by name, and, where the recipe has a
            ``layer_weight``, results of layers under ``layer/`` and the node's name.  Needed for
            distillation.
        batched: Samples are independent.
        progress: Told ``fine-tune: epoch 2/3, loss 0.231, val 91.2 %, 0:41 left`` and the share.

    Raises:
        ModelError: CIMC-M77 a label is no class, CIMC-M94 loss or gradient not finite, CIMC-M95
            the checkpoint is of another run, CIMC-M96 no loss can be computed, CIMC-M97 there is
            nothing to train with.
        UsageError: CIMC-U02, a user's loss is no scalar; CIMC-U07, no checkpoint can be written.
    """
    with processes(training.device) as ranks:
        run = _Run(
            trainable,
            training,
            tuple(signals_in),
            tuple(signals_out),
            teacher,
            ranks,
            batched,
            progress if ranks.first else silent,
        )
        return run.fit()


@dataclass(slots=True)
class _Sums:
    """Of the epoch under way; exact in a checkpoint."""

    loss: float = 0.0
    penalty: float = 0.0
    weight: float = 0.0
    steps: int = 0


@dataclass(slots=True)
class _Place:
    """Where a run is: between two steps."""

    step: int = 0
    epoch: int = 0
    position: int = 0
    sums: _Sums = field(default_factory=_Sums)
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None


class _Run:
    """One training run."""

    def __init__(
        self,
        trainable: Trainable,
        training: Training,
        signals_in: tuple[Signal, ...],
        signals_out: tuple[Signal, ...],
        teacher: Teacher | None,
        ranks: Ranks,
        batched: bool,
        progress: Progress,
    ) -> None:
        self._net, self._recipe, self._ranks = trainable, training.recipe, ranks
        self._training, self._signals, self._teacher = training, signals_out, teacher
        self._samples = Samples(training.data, signals_in, batched=batched, device=training.device)
        recipe = self._recipe
        self._train, self._held = drawn.held_out(
            recipe.seed, recipe.validation, self._samples.units
        )
        self._steps = len(self._samples.batches(self._train, recipe.batch))
        self._tell = Telling(progress, recipe.epochs, self._steps)
        self._stepper = Stepper(trainable, recipe, ranks, self._steps)
        self._objective, self._stick = self._prepared()
        self._answers = self._asked()
        count = recipe.validation_chips if recipe.noise != "none" else 0
        self._chips: list[int | None] = [*drawn.evaluation_chips(recipe.seed, count)] or [None]

    def fit(self) -> History:
        """Do it, or what is left of it."""
        place = self._begin()
        while place.epoch < self._recipe.epochs:
            self._epoch(place)
        self._net.eval()
        if place.best is not None:
            self._net.load_state_dict(place.best)
        return place.history

    def _prepared(self) -> tuple[Objective, Yardstick]:
        """Find the loss, from the float network's answers to the first samples."""
        samples, recipe = self._samples, self._recipe
        block = batch_size(samples.data) if samples.merged else 1
        run = samples.runs(range(min(block, samples.units)))[0]
        taps = recipe.layer_weight > 0.0
        self._net.eval()
        with torch.no_grad():
            own = self._net(run.inputs, None, taps=taps)
        said = dict(self._teacher(samples.feed(run.units))) if self._teacher else {}
        outputs = {
            s.name: said.get(s.name, _array(y))
            for s, y in zip(self._signals, own.outputs, strict=True)
        }
        layers = {n: said[LAYER + n] for n in own.layers if LAYER + n in said} if taps else {}
        probe = Probe(outputs, layers, samples.labels_of(run.units), not samples.stacked)
        objective = make_objective(
            recipe, self._signals, probe, own=self._training.loss, labels=samples.labels
        )
        if self._teacher is None and (objective.distilled or objective.taps):
            raise ModelError(
                "CIMC-M97",
                "the float network is not at hand, which the loss is a distance to",
                where="the loss of fine-tuning",
                hint="labels, or a loss of your own",
            )
        rank = outputs[self._signals[objective.primary].name].ndim
        labelled, taught = samples.labels is not None, self._teacher is not None
        return objective, yardstick(objective, labelled=labelled, taught=taught, rank=rank)

    def _asked(self) -> Answers:
        names = self._objective.teacher_names
        if self._stick.figure == "agreement" and self._stick.name not in names and self._held:
            names = (*names, self._stick.name)
        return Answers(
            self._teacher or _no_teacher,
            self._samples,
            names,
            device=self._training.device,
            progress=self._tell.teacher,
        )

    def _begin(self) -> _Place:
        """Return where to start: at the beginning, or at the newest checkpoint."""
        folder, place = self._training.checkpoint, _Place()
        if folder is not None:
            self._identity = self._whose()
            found = checkpoints.newest(folder) if self._training.resume else None
            if found is not None:
                return self._restored(*found)
            if not self._training.resume and self._ranks.first:
                checkpoints.clear(folder)
            self._ranks.barrier()
        before = self._evaluated()
        place.history = History(before=before, loss=self._objective.describe())
        self._compare(place, before)
        self._save(place)
        return place

    def _whose(self) -> dict[str, Any]:
        loss = self._training.loss
        return {
            "cimc": __version__,
            "recipe": _plain(asdict(self._recipe)),
            "network": checkpoints.digest_of_tensors(self._net.state_dict()),
            "data": checkpoints.digest_of_data(self._training.data),
            "loss": None if loss is None else getattr(loss, "__qualname__", type(loss).__name__),
        }

    def _restored(self, found: Checkpoint, notes: Sequence[str]) -> _Place:
        assert self._training.checkpoint is not None
        checkpoints.same_run(found, self._identity, self._training.checkpoint)
        network = _part(found.tensors, "network/")
        self._net.load_state_dict(network)
        self._stepper.load(_part(found.tensors, "optimizer/"))
        data = found.progress
        history = History.from_dict(data["history"])
        history = replace(history, notes=(*history.notes, *notes))
        self._tell.started_at(found.step)
        best = _part(found.tensors, "best/") or None
        sums = _Sums(**data["sums"])
        return _Place(found.step, data["epoch"], data["position"], sums, history, best)

    def _save(self, place: _Place) -> None:
        folder = self._training.checkpoint
        if folder is None:
            return
        if self._ranks.first:
            tensors = {f"network/{n}": t for n, t in self._net.state_dict().items()}
            tensors |= {f"optimizer/{n}": t for n, t in self._stepper.state().items()}
            tensors |= {f"best/{n}": t for n, t in (place.best or {}).items()}
            progress = {
                "epoch": place.epoch,
                "position": place.position,
                "sums": asdict(place.sums),
                "history": place.history.as_dict(),
            }
            checkpoints.write(folder, Checkpoint(place.step, self._identity, progress, tensors))
        self._ranks.barrier()

    def _epoch(self, place: _Place) -> None:
        """Take the steps that are left of an epoch, then evaluate."""
        began, recipe, epoch = time.perf_counter(), self._recipe, place.epoch
        order = [self._train[i] for i in drawn.order(recipe.seed, epoch, len(self._train))]
        batches = self._samples.batches(order, recipe.batch)
        self._net.train()
        while place.position < len(batches):
            self._step(place, batches[place.position])
            last = place.position == len(batches)
            if recipe.checkpoint_steps and place.step % recipe.checkpoint_steps == 0 and not last:
                self._save(place)
        self._net.eval()
        self._stepper.require_finite(epoch, place.step)
        every = recipe.refit_epochs
        if every and ((epoch + 1) % every == 0 or epoch + 1 == recipe.epochs):
            self._net.refit(self._samples.subset(self._refit_units()))
        row = Epoch(
            epoch + 1,
            place.sums.loss / max(place.sums.weight, 1.0),
            place.sums.penalty / max(place.sums.steps, 1),
            schedule.learning_rate(recipe, place.step - 1, self._steps),
            schedule.on_chips(recipe, epoch),
            self._evaluated(),
            time.perf_counter() - began,
        )
        self._tell.evaluated(row.validation)
        place.history = replace(
            place.history, epochs=(*place.history.epochs, row), steps=place.step
        )
        place.epoch, place.position, place.sums = epoch + 1, 0, _Sums()
        self._compare(place, row.validation)
        self._save(place)

    def _compare(self, place: _Place, found: Evaluated | None) -> None:
        """Remember the network as it is, unless an earlier one was better."""
        had = place.history.validation
        by_figure = self._recipe.keep == "best" and found is not None
        if by_figure and place.best is not None and had is not None and found.worse_than(had):
            return
        place.history = replace(place.history, kept=place.epoch)
        if by_figure:
            state = self._net.state_dict().items()
            place.best = {n: t.detach().cpu().clone() for n, t in state}

    def _step(self, place: _Place, units: Sequence[int]) -> None:
        recipe, samples = self._recipe, self._samples
        chip = None
        if schedule.on_chips(recipe, place.epoch):
            chip = drawn.training_chip(recipe.seed, place.step)
        weight = self._objective.weight(samples, units)
        self._stepper.begin(place.step)
        total = torch.zeros((), device=samples.device)
        for part in samples.parts(self._ranks.share(units)):
            run = samples.runs(part)[0]
            share = self._objective.weight(samples, part) / max(weight, 1.0)
            total += self._backward(run, chip, share)
        loss, penalty = self._stepper.finish(total, place.epoch, place.step)
        self._net.after_step()
        place.sums.loss += loss * weight
        place.sums.penalty += penalty
        place.sums.weight += weight
        place.sums.steps += 1
        place.step += 1
        place.position += 1
        self._tell.step(place.step, place.epoch, place.sums.loss / max(place.sums.weight, 1.0))

    def _backward(self, run: Run, chip: int | None, share: float) -> Tensor:
        """Add the gradient of one run's part of the loss; return that part."""
        outcome = self._net(run.inputs, chip, taps=self._objective.taps)
        loss = self._objective(outcome, run, self._answers.of(run)) * share
        if not loss.requires_grad:
            name = self._signals[self._objective.primary].name
            raise ModelError(
                "CIMC-M96",
                f"no gradient reaches a trained weight from output '{name}'",
                where="the loss of fine-tuning",
                hint="an output before the operators that have no gradient (argmax, opaque ones)",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _evaluated(self) -> Evaluated | None:
        if not self._held:
            return None
        return evaluate(
            self._net,
            self._samples,
            self._held,
            self._chips,
            self._objective,
            self._answers,
            self._stick,
            self._ranks,
        )

    def _refit_units(self) -> list[int]:
        return self._train[: max(1, REFIT_SAMPLES // self._samples.unit_samples)]


def _no_teacher(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _part(tensors: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
    return {n.removeprefix(before): t for n, t in tensors.items() if n.startswith(before)}


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
