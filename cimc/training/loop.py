"""The training loop: batches, chips, gradients, steps, checkpoints, evaluations.

What it trains is anything with the methods of :class:`Trainable`.  A run is a function of recipe,
data and initial network only: every step draws from the seed and its number, so that a run that
was killed and goes on from a checkpoint ends in the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training import drawn, schedule
from cimc.training.batches import Run, Samples
from cimc.training.evaluate import evaluate
from cimc.training.history import Epoch, Evaluated, History
from cimc.training.loss import OutcomeLike
from cimc.training.measures import measures_of
from cimc.training.optimizer import Stepper
from cimc.training.parallel import Ranks, local_device, processes
from cimc.training.settings import Teacher, Training
from cimc.training.state import Keeper, Place, Sums
from cimc.training.telling import Telling
from cimc.verification.data import Data
from cimc.verification.options import Progress, silent

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

    def after_epoch(self, epochs: int) -> None:
        """Do what is done every few epochs, so many of which are done."""

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
    device = local_device(training.device)
    samples = Samples(training.data, signals_in, batched=batched, device=device)
    with processes(device) as ranks:
        told = progress if ranks.first else silent
        return _Run(trainable, training, samples, tuple(signals_out), teacher, ranks, told).fit()


class _Run:
    """One training run."""

    def __init__(
        self,
        trainable: Trainable,
        training: Training,
        samples: Samples,
        signals: tuple[Signal, ...],
        teacher: Teacher | None,
        ranks: Ranks,
        progress: Progress,
    ) -> None:
        recipe = training.recipe
        self._net, self._recipe, self._ranks = trainable, recipe, ranks
        self._samples, self._signals = samples, signals
        self._train, self._held = drawn.held_out(recipe.seed, recipe.validation, samples.units)
        self._steps = len(samples.batches(self._train, recipe.batch))
        self._tell = Telling(progress, recipe.epochs, self._steps)
        self._stepper = Stepper(trainable, recipe, ranks, self._steps)
        trainable.eval()
        self._by = measures_of(
            trainable,
            training,
            samples,
            signals,
            teacher,
            evaluated=bool(self._held),
            progress=self._tell.teacher,
        )
        self._keeper = Keeper(training, trainable, self._stepper, ranks)
        count = recipe.validation_chips if recipe.noise != "none" else 0
        self._chips: list[int | None] = [*drawn.evaluation_chips(recipe.seed, count)] or [None]

    def fit(self) -> History:
        """Do it, or what is left of it."""
        place = self._keeper.restored()
        if place is None:
            place = self._began()
        else:
            self._tell.started_at(place.step)
        while place.epoch < self._recipe.epochs:
            self._epoch(place)
        self._net.eval()
        if place.best is not None:
            self._net.load_state_dict(place.best)
        return place.history

    def _began(self) -> Place:
        before = self._evaluated()
        place = Place(history=History(before=before, loss=self._by.objective.describe()))
        self._finished(place, before)
        return place

    def _finished(self, place: Place, found: Evaluated | None) -> None:
        """Keep what is between two epochs."""
        place.compare(found, self._net, best=self._recipe.keep == "best")
        self._keeper.save(place)

    def _epoch(self, place: Place) -> None:
        """Take the steps that are left of an epoch, then evaluate."""
        began, recipe, epoch = time.perf_counter(), self._recipe, place.epoch
        order = [self._train[i] for i in drawn.order(recipe.seed, epoch, len(self._train))]
        batches = self._samples.batches(order, recipe.batch)
        self._net.train()
        while place.position < len(batches):
            self._step(place, batches[place.position])
            last = place.position == len(batches)
            if recipe.checkpoint_steps and place.step % recipe.checkpoint_steps == 0 and not last:
                self._keeper.save(place)
        self._net.eval()
        self._stepper.require_finite(epoch, place.step)
        self._net.after_epoch(epoch + 1)
        every = recipe.refit_epochs
        if every and ((epoch + 1) % every == 0 or epoch + 1 == recipe.epochs):
            self._net.refit(self._samples.subset(self._refit_units()))
        row = Epoch(
            epoch + 1,
            place.sums.mean_loss,
            place.sums.mean_penalty,
            schedule.learning_rate(recipe, place.step - 1, self._steps),
            schedule.on_chips(recipe, epoch),
            self._evaluated(),
            time.perf_counter() - began,
        )
        place.history = replace(
            place.history, epochs=(*place.history.epochs, row), steps=place.step
        )
        place.epoch, place.position, place.sums = epoch + 1, 0, Sums()
        self._finished(place, row.validation)

    def _step(self, place: Place, units: Sequence[int]) -> None:
        recipe, samples, objective = self._recipe, self._samples, self._by.objective
        chip = None
        if schedule.on_chips(recipe, place.epoch):
            chip = drawn.training_chip(recipe.seed, place.step)
        weight = objective.weight(samples, units)
        self._stepper.begin(place.step)
        total = torch.zeros((), device=samples.device)
        for part in samples.parts(self._ranks.share(units)):
            share = objective.weight(samples, part) / max(weight, 1.0)
            total += self._backward(samples.runs(part)[0], chip, share)
        loss, penalty = self._stepper.finish(total, place.epoch, place.step)
        self._net.after_step()
        place.sums.add(loss, weight, penalty)
        place.step += 1
        place.position += 1
        self._tell.step(place.step, place.epoch, place.sums.mean_loss)

    def _backward(self, run: Run, chip: int | None, share: float) -> Tensor:
        """Add the gradient of one run's part of the loss; return that part."""
        by = self._by
        outcome = self._net(run.inputs, chip, taps=by.objective.taps)
        loss = by.objective(outcome, run, by.answers.of(run)) * share
        if not loss.requires_grad:
            name = self._signals[by.objective.primary].name
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
        by = self._by
        found = evaluate(
            self._net,
            self._samples,
            self._held,
            self._chips,
            by.objective,
            by.answers,
            by.stick,
            self._ranks,
        )
        self._tell.evaluated(found)
        return found

    def _refit_units(self) -> list[int]:
        return self._train[: max(1, REFIT_SAMPLES // self._samples.unit_samples)]
