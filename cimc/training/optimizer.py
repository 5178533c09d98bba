"""One optimizer step: rates, penalty, sums over processes, clipping, and refusal of NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cimc.errors import ModelError
from cimc.training import schedule
from cimc.training.parallel import Ranks
from cimc.training.recipe import Recipe


class Parametrized(Protocol):
    """The part of a trainable that is stepped."""

    def groups(self) -> list[dict[str, Any]]:
        """Return parameter groups, each with ``params`` and ``lr_scale``.

        With ``units``, one a parameter, its steps are times these.
        """

    def penalty(self) -> Tensor:
        """Return the penalty of weights off their levels."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield parameters with names for messages."""


class Stepper:
    """Takes the steps of a run."""

    def __init__(self, net: Parametrized, recipe: Recipe, ranks: Ranks, steps: int) -> None:
        """Make the optimizer.

        Args:
            net: What is trained.
            recipe: Optimizer, rates, clipping.
            ranks: Processes that share batches.
            steps: Steps an epoch [-].

        Raises:
            ModelError: CIMC-M97, there is nothing to train.
        """
        self._net, self._recipe, self._ranks, self._steps = net, recipe, ranks, steps
        groups = [dict(group) for group in net.groups()]
        self._parameters = [p for group in groups for p in group["params"]]
        units = [zip(g["params"], g.pop("units"), strict=True) for g in groups if "units" in g]
        self._units: list[tuple[nn.Parameter, Tensor]] = [
            pair for pairs in units for pair in pairs
        ]
        if not self._parameters:
            raise ModelError(
                "CIMC-M97",
                "the network has no weights to train",
                where="fine-tuning",
                hint="train: all, or layers on crossbars",
            )
        self._optimizer = make_optimizer(groups, recipe)

    def begin(self, step: int) -> None:
        """Forget the last gradients, and set the rates of a step (from 0)."""
        self._lambda = schedule.penalty_weight(self._recipe, step, self._steps)
        rate = schedule.learning_rate(self._recipe, step, self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self._optimizer.zero_grad(set_to_none=True)

    def finish(self, loss: Tensor, epoch: int, step: int) -> tuple[float, float]:
        """Add the penalty, add up the processes' gradients, clip them and take the step.

        Args:
            loss: This process's part, a scalar; its gradient is computed already.
            epoch: From 0.
            step: From 0.

        Returns:
            The loss over all processes, and the penalty times lambda.

        Raises:
            ModelError: CIMC-M94, the loss or a gradient is not finite.
        """
        penalty = self._penalty(loss.device)
        sums = self._ranks.reduce_gradients(self._parameters, loss, penalty)
        whole, penalized = (float(s) for s in sums)
        limit = self._recipe.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self._parameters, limit))
        if not math.isfinite(whole + penalized) or not math.isfinite(norm):
            raise self._not_finite(f"the loss is {whole + penalized:.6g}", epoch, step, grad=True)
        self._update()
        return whole, penalized

    @torch.no_grad()
    def _update(self) -> None:
        before = [parameter.clone() for parameter, _ in self._units]
        self._optimizer.step()
        for (parameter, unit), old in zip(self._units, before, strict=True):
            parameter.copy_(old + unit.to(old) * (parameter - old))

    def require_finite(self, epoch: int, step: int) -> None:
        """Refuse weights that the last step made infinite.

        Raises:
            ModelError: CIMC-M94.
        """
        if not all(bool(torch.isfinite(p).all()) for p in self._parameters):
            raise self._not_finite(
                "a weight left the range of float32", epoch, step - 1, grad=False
            )

    def state(self) -> dict[str, Tensor]:
        """Return the optimizer's tensors by number of the parameter and name."""
        state = self._optimizer.state_dict()["state"]
        return {
            f"{number}/{name}": value
            for number, values in state.items()
            for name, value in values.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            number, name = key.split("/", 1)
            parameter = self._parameters[int(number)]
            if value.shape == parameter.shape:
                # In the parameter's own memory format, as if it had grown there.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            state.setdefault(int(number), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _penalty(self, device: torch.device) -> Tensor:
        """Add the gradient of this process's share of the penalty; return that share."""
        if self._recipe.quantization != "regularized":
            return torch.zeros((), device=device)
        penalty = self._net.penalty() * (self._lambda / self._ranks.size)
        if penalty.requires_grad:
            penalty.backward()  # type: ignore[no-untyped-call]
        return penalty.detach()

    def _not_finite(self, what: str, epoch: int, step: int, *, grad: bool) -> ModelError:
        names = [n for n, p in self._net.named_parameters() if _broken(p, grad=grad)]
        kind = "gradient" if grad else "value"
        first = f"; the first {kind} that is not finite is of '{names[0]}'" if names else ""
        return ModelError(
            "CIMC-M94",
            f"{what}{first}",
            where=f"epoch {epoch + 1}, step {step + 1} of fine-tuning",
            hint="a smaller learning_rate or clip_norm; the last checkpoint is kept",
        )


def make_optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe; weight decay of a group goes before the recipe's."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
    return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, weight_decay=decay)


def _broken(parameter: nn.Parameter, *, grad: bool) -> bool:
    value = parameter.grad if grad else parameter
    return value is not None and not bool(torch.isfinite(value).all())
