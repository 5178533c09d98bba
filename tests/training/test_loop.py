"""The loop on a toy, against hand-written loops and against itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from cimc.errors import ModelError, UsageError
from cimc.training import drawn
from cimc.training.history import History
from cimc.training.loop import fit
from cimc.training.settings import Training
from tests.training import toy


def trained(
    run: Training, network: toy.Toy | None = None, **given: Any
) -> tuple[toy.Toy, History]:
    network = network or toy.Toy()
    options: dict[str, Any] = {"signals_in": toy.INPUTS, "signals_out": toy.OUTPUTS} | given
    return network, fit(network, run, **options)


def test_it_learns() -> None:
    _, history = trained(toy.training(toy.recipe(epochs=10)))
    before, after = history.before, history.validation
    assert before is not None
    assert after is not None
    assert after.figure == "top1"
    assert after.mean > 0.95 > before.mean
    assert history.steps == 10 * 6  # 180 of 200 samples train, 32 a step
    assert [row.epoch for row in history.epochs] == list(range(1, 11))


def test_steps_are_those_of_a_loop_written_by_hand() -> None:
    recipe = toy.recipe(epochs=2, validation=0.0, optimizer="sgd", clip_norm=0.5, noise="none")
    network, history = trained(toy.training(recipe))
    data = toy.data()
    assert data.labels is not None
    by_hand = toy.Toy()
    x, labels = torch.from_numpy(data.inputs["x"]), torch.from_numpy(data.labels)
    parameters = [by_hand.first, by_hand.second]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=1.0, momentum=0.9)
    step, losses = 0, []
    for epoch in range(2):
        order = drawn.order(recipe.seed, epoch, 200)
        for first in range(0, 200, 32):
            batch = order[first : first + 32]
            rate = 0.01 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 14)).item())
            for group, scale in zip(optimizer.param_groups, (1.0, 0.5), strict=True):
                group["lr"] = rate * scale
            optimizer.zero_grad()
            loss = functional.cross_entropy(by_hand([x[batch]], None).outputs[0], labels[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            optimizer.step()
            losses.append(float(loss.detach()) * len(batch))
            step += 1
    torch.testing.assert_close(network.first, by_hand.first, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.second, by_hand.second, rtol=1e-5, atol=1e-6)
    assert history.epochs[1].train_loss == pytest.approx(sum(losses[7:]) / 200, rel=1e-5)


def test_every_step_has_its_own_chip_that_no_test_draws() -> None:
    network, _ = trained(toy.training(toy.recipe(epochs=2, warm_up_epochs=1, validation=0.0)))
    seen = network.chips[1:]  # the first is the probe
    assert seen[:7] == [None] * 7
    chips = [c for c in seen[7:] if c is not None]
    assert len(set(chips)) == 7
    assert all(2**62 <= c < 2**63 for c in chips)


def test_evaluations_use_other_chips_than_steps_and_always_the_same() -> None:
    network, history = trained(toy.training(toy.recipe(validation_chips=4)))
    evaluation = drawn.evaluation_chips(0, 4)
    steps = {drawn.training_chip(0, s) for s in range(history.steps)}
    assert not steps & set(evaluation)
    assert {c for c in network.chips if c is not None} == steps | set(evaluation)
    assert all(row.validation and len(row.validation.values) == 4 for row in history.epochs)


def test_two_runs_are_the_same_bytes_and_another_seed_is_not() -> None:
    first, second = (trained(toy.training())[0] for _ in range(2))
    assert toy.final(first) == toy.final(second)
    other, _ = trained(toy.training(toy.recipe(seed=1)))
    assert toy.final(other) != toy.final(first)


@pytest.mark.parametrize(("every", "expected"), [(0, 0), (1, 3), (2, 2), (5, 1)])
def test_ranges_are_fitted_every_so_many_epochs_and_at_the_end(every: int, expected: int) -> None:
    network, _ = trained(toy.training(toy.recipe(refit_epochs=every)))
    assert len(network.refits) == expected


def test_a_loss_that_is_not_finite_names_the_place_and_the_parameter() -> None:
    data = toy.data()
    data.inputs["x"][data.samples // 2] = float("nan")
    with pytest.raises(ModelError) as caught:
        trained(toy.training(data=data))
    assert caught.value.code == "CIMC-M94"
    assert "epoch 1, step" in caught.value.where
    assert "'first'" in caught.value.message


def test_a_rate_that_is_too_large_is_an_error_not_a_network() -> None:
    recipe = toy.recipe(learning_rate=1e30, optimizer="sgd", clip_norm=0.0, validation=0.0)
    with pytest.raises(ModelError, match=r"not finite|float32"):
        trained(toy.training(recipe))


def test_distillation_approaches_the_float_network() -> None:
    run = toy.training(toy.recipe(epochs=8), data=toy.data(labels=False))
    start = toy.Toy()
    with torch.no_grad():
        start.second += 0.3 * torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    _, history = trained(run, start, teacher=toy.teacher)
    assert history.before is not None
    assert history.validation is not None
    assert history.validation.figure == "agreement"
    assert history.validation.loss < 0.3 * history.before.loss
    assert history.validation.mean > history.before.mean
    assert "relative mean square error" in history.loss


def test_layers_are_compared_with_the_float_network_s() -> None:
    run = toy.training(toy.recipe(epochs=1, layer_weight=0.5), data=toy.data(labels=False))
    _, history = trained(run, toy.Toy(noise=0.0), teacher=toy.teacher)
    # Nothing differs from the teacher: no loss, no gradient.
    assert history.epochs[0].train_loss == 0.0
    assert "layers, times 0.5" in history.loss


def test_a_user_s_loss_gets_outputs_by_name_and_labels() -> None:
    seen: set[tuple[str, ...]] = set()

    def loss(outputs: Any, labels: Any) -> torch.Tensor:
        seen.add(tuple(outputs))
        return functional.cross_entropy(outputs["y"], labels)

    own, _ = trained(toy.training(loss=loss))
    same, _ = trained(toy.training())
    assert seen == {("y",)}
    torch.testing.assert_close(own.first, same.first, rtol=1e-5, atol=1e-6)


def test_a_user_s_loss_must_be_a_scalar() -> None:
    with pytest.raises(UsageError, match="not a scalar"):
        trained(toy.training(loss=lambda outputs, labels: outputs["y"]))


def test_distillation_needs_the_float_network() -> None:
    with pytest.raises(ModelError) as caught:
        trained(toy.training(data=toy.data(labels=False)))
    assert caught.value.code == "CIMC-M97"


def test_the_penalty_is_weighted_by_lambda_where_weights_are_regularized() -> None:
    plain, _ = trained(toy.training(toy.recipe(noise="none")))
    recipe = toy.recipe(noise="none", quantization="regularized", epochs=20, batch=16)
    drawn_to, history = trained(toy.training(recipe))

    def away(network: toy.Toy) -> float:
        return float(network.penalty().detach())

    assert away(drawn_to) < 0.1 * away(plain)
    assert history.epochs[-1].penalty > 0.0
    assert all(row.penalty == 0.0 for row in trained(toy.training())[1].epochs)


def test_whoever_watches_is_told_epoch_loss_accuracy_and_time() -> None:
    told: list[tuple[str, float]] = []
    trained(toy.training(), progress=lambda what, share: told.append((what, share)))
    what, share = told[-1]
    assert share == 1.0
    assert what.startswith("fine-tune: epoch 3/3, loss 1.")
    assert ", val " in what
    assert what.endswith(" %, 0:00 left")


def test_no_graph_and_no_gradient_outlives_a_run() -> None:
    network, _ = trained(toy.training())
    assert not network.training
    assert all(p.grad_fn is None for p in network.parameters())


class Spoiled(toy.Toy):
    """A network that is spoilt at the end of an epoch, and of all after it."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def refit(self, data: Any) -> None:
        super().refit(data)
        if len(self.refits) >= self.epoch:
            self.second.data.zero_()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_best_network_is_kept_unless_the_last_is_wanted(keep: str) -> None:
    recipe = toy.recipe(epochs=8, keep=keep, schedule="constant")
    network, history = trained(toy.training(recipe), Spoiled(7))
    means = [e.mean for e in (history.before, *(r.validation for r in history.epochs)) if e]
    best = max(range(9), key=lambda i: (means[i], i))
    assert 0 < best < 7
    assert history.kept == (best if keep == "best" else 8)
    assert history.validation is not None
    assert history.validation.mean == means[history.kept]
    assert bool(network.second.any()) == (keep == "best")


def test_training_that_only_harms_gives_back_what_there_was() -> None:
    start = Spoiled(100)
    trained(toy.training(toy.recipe(epochs=10)), start)
    before, start.epoch = toy.final(start), 0
    network, history = trained(toy.training(toy.recipe(keep="best")), start)
    assert history.kept == 0
    assert history.validation == history.before
    assert toy.final(network) == before


def test_without_samples_to_compare_by_the_last_is_kept() -> None:
    _, history = trained(toy.training(toy.recipe(validation=0.0, keep="best")))
    assert history.kept == 3
    assert history.validation is None
