"""Losses against torch's own, and the rules that choose them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from cimc.errors import ModelError
from cimc.ir.network import Signal
from cimc.training.batches import Run, Samples
from cimc.training.loss import Objective, divergence
from cimc.training.make_loss import Probe, make_objective
from cimc.training.scores import Scores
from cimc.verification.data import Data
from tests.training.toy import Outcome, recipe

Y = Signal("y", "float32", ("n", 5))
LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 4, -100, 2, 2, -100])


def run_of(labels: torch.Tensor | None) -> Run:
    return Run(tuple(range(6)), (), labels, 6)


def probe(output: Any, labels: Any = None) -> Probe:
    return Probe({"y": np.asarray(output)}, {}, labels, True)


def made(output: torch.Tensor, labels: torch.Tensor | None, **given: Any) -> Objective:
    answers = None if labels is None else labels.numpy()
    return make_objective(recipe(**given), [Y], probe(output, answers), labels=answers)


def test_cross_entropy_is_torch_s_and_ignores_what_it_ignores() -> None:
    loss = made(LOGITS, LABELS)(Outcome((LOGITS,), {}), run_of(LABELS), {})
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS))


def test_maps_are_scored_at_every_pixel() -> None:
    scores = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(5, (2, 3, 4), generator=torch.Generator().manual_seed(2))
    loss = made(scores, labels)(Outcome((scores,), {}), run_of(labels), {})
    torch.testing.assert_close(loss, functional.cross_entropy(scores, labels))


def test_a_softmax_in_the_network_is_not_applied_twice() -> None:
    output = torch.softmax(LOGITS, 1)
    objective = made(output, LABELS)
    loss = objective(Outcome((output,), {}), run_of(LABELS), {})
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, LABELS))
    assert "probabilities" in objective.describe()


def test_nothing_but_ignored_labels_is_no_loss() -> None:
    labels = torch.full((6,), -100)
    loss = made(LOGITS, LABELS)(Outcome((LOGITS,), {}), run_of(labels), {})
    assert float(loss) == 0.0


def test_parts_of_a_batch_weigh_what_they_hold() -> None:
    """The mean over a batch is the weighted mean over its parts, labels ignored or not."""
    objective = made(LOGITS, LABELS)
    samples = Samples(
        Data({"x": LOGITS.numpy()}, LABELS.numpy(), 6),
        [Signal("x", "float32", ("n", 5))],
        batched=True,
    )
    whole = objective(Outcome((LOGITS,), {}), run_of(LABELS), {})
    parts = [(0, 1, 2), (3, 4, 5)]
    weights = [objective.weight(samples, part) for part in parts]
    assert weights == [2.0, 2.0]
    assert objective.weight(samples, range(6)) == 4.0
    losses = [
        objective(Outcome((LOGITS[list(p)],), {}), run_of(LABELS[list(p)]), {}) for p in parts
    ]
    torch.testing.assert_close(
        sum(w * x for w, x in zip(weights, losses, strict=True)) / 4.0, whole
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_torch_s(temperature: float) -> None:
    answer = torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    expected = functional.kl_div(
        functional.log_softmax(LOGITS / temperature, 1),
        functional.log_softmax(answer / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    for form in (lambda x: x, lambda x: torch.softmax(x, 1), lambda x: torch.log_softmax(x, 1)):
        scores = Scores(1, bool(form(LOGITS).min() >= 0))
        loss = divergence(form(LOGITS), form(answer), scores, temperature)
        torch.testing.assert_close(loss, expected * temperature**2)


def test_outputs_that_may_be_anything_are_compared_as_numbers() -> None:
    objective = made(LOGITS, None)
    answer = LOGITS + 1.0  # a common offset: a divergence would not see it
    loss = objective(Outcome((answer,), {}), run_of(None), {"y": LOGITS})
    torch.testing.assert_close(loss, 1.0 / LOGITS.square().mean())


@pytest.mark.parametrize("form", [torch.softmax, torch.log_softmax])
def test_probabilities_are_compared_by_divergence(form: Any) -> None:
    objective = made(form(LOGITS, 1), None)
    assert "Kullback-Leibler" in objective.describe()


def test_logits_with_labels_are_distilled_by_divergence() -> None:
    objective = made(LOGITS, LABELS, loss="distillation", temperature=2.0)
    other = LOGITS.flip(0)
    loss = objective(Outcome((LOGITS,), {}), run_of(LABELS), {"y": other})
    torch.testing.assert_close(loss, divergence(LOGITS, other, Scores(1, False), 2.0))


def test_all_floating_point_outputs_are_distilled_unless_one_is_named() -> None:
    signals = [Signal("n", "int64", ("n",)), Y, Signal("z", "float32", ("n", 2))]
    outputs = {"n": np.zeros(6, np.int64), "y": LOGITS.numpy(), "z": np.ones((6, 2), np.float32)}
    seen = Probe(outputs, {}, None, True)
    assert make_objective(recipe(), signals, seen).distilled == ("y", "z")
    assert make_objective(recipe(output="z"), signals, seen).distilled == ("z",)
    for name in ("n", "q"):
        with pytest.raises(ModelError) as caught:
            make_objective(recipe(output=name), signals, seen)
        assert caught.value.code == "CIMC-M96"
        assert f"'{name}'" in caught.value.message


def test_layers_add_their_relative_error() -> None:
    layer = np.full((6, 3), 2.0, np.float32)
    seen = Probe({"y": LOGITS.numpy()}, {"conv": layer}, None, True)
    objective = make_objective(recipe(layer_weight=0.5), [Y], seen)
    outcome = Outcome((LOGITS,), {"conv": torch.full((6, 3), 3.0)})
    answers = {"y": LOGITS, "layer/conv": torch.from_numpy(layer)}
    assert objective.teacher_names == ("y", "layer/conv")
    loss = objective(outcome, run_of(None), answers)
    assert float(loss) == pytest.approx(0.5 * 1.0 / 4.0)
    assert float(objective(outcome, run_of(None), answers, layers=False)) == 0.0


def test_cross_entropy_without_labels_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        made(LOGITS, None, loss="cross-entropy")
    assert caught.value.code == "CIMC-M96"
