"""Steps of the optimizer, against torch's own and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cimc.errors import ModelError
from cimc.training.optimizer import Stepper
from cimc.training.parallel import Ranks
from cimc.training.recipe import Recipe


class Net(nn.Module):
    """One weight in an unusual memory format, one that no loss reads."""

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.arange(24.0).reshape(2, 3, 2, 2) / 24
        self.kernel = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
        self.idle = nn.Parameter(torch.ones(2))

    def groups(self) -> list[dict[str, Any]]:
        return [
            {"params": [self.kernel], "lr_scale": 0.1},
            {"params": [self.idle], "lr_scale": 1.0},
        ]

    def penalty(self) -> Tensor:
        return self.kernel.square().sum()


def stepped(net: Net, recipe: Recipe, steps: int) -> Stepper:
    stepper = Stepper(net, recipe, Ranks(), 10)
    for step in range(steps):
        advance(net, stepper, step)
    return stepper


def advance(net: Net, stepper: Stepper, step: int) -> tuple[float, float]:
    stepper.begin(step)
    loss = (net.kernel * (step + 1)).sum()
    loss.backward()
    return stepper.finish(loss.detach(), 0, step)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_state_taken_back_goes_on_bit_for_bit(optimizer: Any) -> None:
    recipe = Recipe(optimizer=optimizer, weight_decay=0.1)
    whole, first = Net(), Net()
    stepped(whole, recipe, 5)
    tensors = stepped(first, recipe, 3).state()
    second = Net()
    second.load_state_dict(first.state_dict())
    stepper = Stepper(second, recipe, Ranks(), 10)
    # As they are read from a file: contiguous, whatever they were.
    stepper.load({name: t.contiguous().clone() for name, t in tensors.items()})
    for name, state in stepper.state().items():
        assert state.stride() == tensors[name].stride()
    for step in (3, 4):
        advance(second, stepper, step)
    assert second.kernel.detach().numpy().tobytes() == whole.kernel.detach().numpy().tobytes()


def test_groups_have_their_own_rates_and_idle_weights_rest() -> None:
    net = Net()
    before = net.kernel.detach().clone()
    recipe = Recipe(
        optimizer="sgd", momentum=0.0, schedule="constant", learning_rate=0.5, clip_norm=0.0,
        weight_decay=0.2,
    )  # fmt: skip
    stepped(net, recipe, 1)
    torch.testing.assert_close(net.kernel.detach(), before - 0.05 * (1.0 + 0.2 * before))
    assert net.idle.tolist() == [1.0, 1.0]


def test_the_norm_of_all_gradients_together_is_clipped() -> None:
    net = Net()
    before = net.kernel.detach().clone()
    recipe = Recipe(
        optimizer="sgd", momentum=0.0, schedule="constant", learning_rate=10.0, clip_norm=0.3
    )
    stepped(net, recipe, 1)
    moved = (net.kernel.detach() - before).norm()
    assert float(moved) == pytest.approx(0.3, rel=1e-5)


def test_the_penalty_is_lambda_times_what_the_network_says() -> None:
    net = Net()
    recipe = Recipe(quantization="regularized", lambda_start=7.0, epochs=20)
    stepper = Stepper(net, recipe, Ranks(), 10)
    expected = 7.0 * float(net.penalty().detach())
    assert advance(net, stepper, 0)[1] == pytest.approx(expected)


def test_nothing_to_train_is_an_error() -> None:
    class Frozen(Net):
        def groups(self) -> list[dict[str, Any]]:
            return []

    with pytest.raises(ModelError) as caught:
        Stepper(Frozen(), Recipe(), Ranks(), 1)
    assert caught.value.code == "CIMC-M97"
