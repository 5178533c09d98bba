"""Networks in training: forward the executor's chip, backward the clean network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cimc.errors import CimcError, ModelError
from cimc.executor import Executor
from cimc.ir.layer import TRAINED
from cimc.lowering.emit import emit
from cimc.targets import Target, load_target
from cimc.training import latent_weights
from cimc.training.recipe import Recipe
from cimc.training.trainable import TrainableNetwork
from tests.end_to_end.everything import everything
from tests.training.mixed import compiled, compiled_for, tensor

NETWORKS = ("convolutions", "recurrent")
#: Targets, and the weight levels they hold.
TARGETS = {
    "ideal": 8, "rram": 8, "rram-tiny": 8, "rram-wires": 8, "neurram": 8, "pcm": 8, "flash": 8,
    "otp": None, "sram": None,
}  # fmt: skip
CHIP = 2**40 + 17


def trainable(
    name: str, target: str | Target = "rram", levels: int | None = 8, **recipe: object
) -> tuple[TrainableNetwork, Tensor]:
    """Return a network in training and inputs."""
    if isinstance(target, Target):
        network, device, data = compiled_for(name, target, levels)
    else:
        network, device, data = compiled(name, target, levels)
    return TrainableNetwork(network, device, Recipe(**recipe)), tensor(data)  # type: ignore[arg-type]


def by_executor(net: TrainableNetwork, x: Tensor, target: Target, mode: str) -> np.ndarray:
    """Return what the executor computes with the program that the weights make."""
    program = emit(net.network(), target, {})
    return Executor(program, mode, CHIP).run({"x": x.numpy()}).outputs["y"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_chip_in_training_gives_what_the_executor_gives(name: str, target: str) -> None:
    net, x = trainable(name, target, TARGETS[target])
    with torch.no_grad():
        got = net([x], CHIP).outputs[0].numpy()
    want = by_executor(net, x, load_target(target), "chip")
    # Cells are float planes here and tables of states there: they round differently, and a
    # converter turns that into a code, so a few values may be one code apart.
    off = np.abs(got - want) > 1e-4 * np.abs(want).max()
    assert off.mean() <= 0.01


@pytest.mark.parametrize("wires", [False, True])
def test_with_every_non_ideality_too(wires: bool) -> None:
    target = everything(wires=wires)
    net, x = trainable("convolutions", target)
    with torch.no_grad():
        got = net([x], CHIP).outputs[0].numpy()
    want = by_executor(net, x, target, "chip")
    off = np.abs(got - want) > 1e-4 * np.abs(want).max()
    assert off.mean() <= 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_chip_it_is_the_ideal_program(name: str) -> None:
    net, x = trainable(name)
    with torch.no_grad():
        got = net([x], None).outputs[0].numpy()
    np.testing.assert_allclose(got, by_executor(net, x, load_target("rram"), "ideal"), atol=2e-6)


def gradients(net: TrainableNetwork, x: Tensor, chip: int | None, weight: Tensor) -> list[Tensor]:
    """Return the gradients of a weighted sum of the outputs."""
    net.zero_grad()
    (net([x], chip).outputs[0] * weight).sum().backward()
    return [p.grad.clone() for _, p in net.named_parameters() if p.grad is not None]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gradient", ["straight-through", "no-grad", "detached"])
def test_backward_is_the_clean_operation_at_the_chips_values(name: str, gradient: str) -> None:
    """All three modes have the same forward values and the same gradients."""
    weight = torch.linspace(-1, 1, 5 if name == "convolutions" else 3)
    first, x = trainable(name, gradient="no-grad")
    second, _ = trainable(name, gradient=gradient)
    with torch.no_grad():
        a, b = first([x], CHIP).outputs[0], second([x], CHIP).outputs[0]
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    one, other = gradients(first, x, CHIP, weight), gradients(second, x, CHIP, weight)
    assert len(one) == len(other) > 4
    for g, h in zip(one, other, strict=True):
        torch.testing.assert_close(g, h, rtol=1e-3, atol=1e-4 * float(g.abs().max()) + 1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_an_exact_chip_all_gradients_are_those_of_the_clean_network(name: str) -> None:
    """Nothing modelled but the cells: every mode, the full gradient too, equals autograd."""
    weight = torch.linspace(-1, 1, 5 if name == "convolutions" else 3)
    clean, x = trainable(name, noise="none")
    want = gradients(clean, x, None, weight)
    for gradient in ("straight-through", "no-grad", "detached", "full"):
        net, _ = trainable(name, effects=(), gradient=gradient)
        for g, h in zip(want, gradients(net, x, CHIP, weight), strict=True):
            torch.testing.assert_close(h, g, rtol=1e-3, atol=1e-4 * float(g.abs().max()))


def test_a_bias_gets_the_sum_of_what_comes_back() -> None:
    net, x = trainable("convolutions")
    weight = torch.linspace(-1, 1, 5)
    gradients(net, x, CHIP, weight)
    bias = next(p for n, p in net.constants.items() if p.shape == (5,))
    torch.testing.assert_close(bias.grad, weight * len(x))


def test_training_on_chips_makes_the_loss_smaller() -> None:
    """60 steps towards another function; the loss on unseen chips falls to less than half."""
    net, x = trainable("convolutions", levels=4)
    goal = torch.randn(len(x), 5, generator=torch.Generator().manual_seed(3)) * 0.1

    def lost() -> float:
        with torch.no_grad():
            return float(np.mean([
                (net([x], chip).outputs[0] - goal).square().mean() for chip in range(5)
            ]))  # fmt: skip

    before = lost()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(60):
        optimizer.zero_grad()
        (net([x], CHIP + step).outputs[0] - goal).square().mean().backward()
        optimizer.step()
        net.after_step()
    assert lost() < 0.5 * before


def test_chips_differ_and_one_chip_stays_the_same() -> None:
    net, x = trainable("convolutions")
    with torch.no_grad():
        a, b, again = (net([x], c).outputs[0] for c in (CHIP, CHIP + 1, CHIP))
    assert not torch.equal(a, b)
    assert torch.equal(a, again)


def test_a_step_makes_another_chip_of_the_same_seed() -> None:
    net, x = trainable("convolutions")
    with torch.no_grad():
        before = net([x], CHIP).outputs[0]
        for p in net.weights.values():
            p.mul_(1.5)
        net.after_step()
        after = net([x], CHIP).outputs[0]
    assert not torch.allclose(before, after, rtol=1e-2)


def test_gaussian_noise_has_the_spread_asked_for() -> None:
    """[GDQ Eq. 6]; the sample deviation of 24 weights and 400 draws is within 4 % at 5.5 sigma."""
    net, _ = trainable("convolutions", noise="gaussian", delta=0.05)
    name = next(n for n, layer in net._network.layers.items() if layer.geometry.columns == 16)
    layer = net._network.layers[name]
    with torch.no_grad():
        clean = net.quantized(None)[name].matrix
        drawn = torch.stack([net.quantized(k)[name].matrix - clean for k in range(400)])
        limit = float(net.levels[layer.weight].limit().max())
    assert float(drawn.std()) == pytest.approx(0.05 * limit, rel=0.04)


def test_learned_input_ranges_reach_the_dac() -> None:
    net, x = trainable("convolutions", activation_bits=4, first_last_bits=6)
    target = load_target("rram")
    with torch.no_grad():
        for step in net.steps.values():
            step.relative.mul_(0.7)
        got = net([x], CHIP).outputs[0].numpy()
    trained = net.network()
    uses = [use for layer in trained.layers.values() for use in layer.uses]
    assert [use.dac.bits for use in uses] == [6, 4, 4, 4, 6]
    assert all(use.fitted is not None and use.fitted.input_method == TRAINED for use in uses)
    np.testing.assert_allclose(
        got, by_executor(net, x, target, "chip"), atol=1e-2 * np.abs(got).max()
    )
    gradients(net, x, CHIP, torch.ones(5))
    assert all(float(step.relative.grad.abs()) > 0 for step in net.steps.values())


def test_fitting_ranges_again_keeps_learned_input_ranges() -> None:
    net, _ = trainable("convolutions", activation_bits=4, first_last_bits=4)
    _, _, data = compiled("convolutions")
    before = {place: dac.x_max for place, (dac, _) in net.settings().items()}
    ranges = {place: adc.i_max_us.clone() for place, (_, adc) in net.settings().items()}
    with torch.no_grad():
        for p in net.weights.values():
            p.mul_(0.5)
    net.refit(data)
    assert {place: dac.x_max for place, (dac, _) in net.settings().items()} == before
    assert any(not torch.equal(ranges[k], adc.i_max_us) for k, (_, adc) in net.settings().items())


def test_a_checkpoint_holds_everything() -> None:
    net, x = trainable("convolutions", activation_bits=4)
    _, _, data = compiled("convolutions")
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.1)
    net.refit(data)
    other, _ = trainable("convolutions", activation_bits=4)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net([x], CHIP).outputs[0], other([x], CHIP).outputs[0])


def test_the_teacher_is_the_float_network() -> None:
    net, x = trainable("convolutions")
    network, _, data = compiled("convolutions")
    want = network.source.oracle({"x": data.inputs["x"]})["y"]
    outcome = net.teacher([x], taps=True)
    np.testing.assert_allclose(outcome.outputs[0].numpy(), want, atol=1e-5)
    assert set(outcome.layers) == {u.node for la in network.layers.values() for u in la.uses}


def test_the_network_it_is_given_does_not_change() -> None:
    network, target, _ = compiled("convolutions")
    held = {n: p.clone() for n, p in network.graph.state_dict().items()}
    net = TrainableNetwork(network, target, Recipe())
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    net.network()
    assert all(torch.equal(held[n], p) for n, p in network.graph.state_dict().items())


def test_layers_behind_opaque_operators_are_named_and_left_as_they_are() -> None:
    net, x = trainable("condition")
    ((layer, nodes),) = net.frozen.items()
    assert layer == "w1"
    assert nodes == ("choice",)
    gradients(net, x, CHIP, torch.linspace(-1, 1, 5))
    assert [p.grad is None for p in net.weights.values()] == [True, False]


def test_nothing_to_train_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, target, _ = compiled("convolutions")
    blocked = dict.fromkeys(network.layers, ("Det_7",))
    monkeypatch.setattr(latent_weights, "without_gradient", lambda network: blocked)
    with pytest.raises(ModelError) as error:
        TrainableNetwork(network, target, Recipe())
    assert str(error.value) == (
        "error[CIMC-M90]: no gradient reaches any crossbar layer: operators that run in "
        "onnxruntime have none\n  at node Det_7\n"
        "  try cutting the model before them, or compiling without --train-data"
    )


def test_an_unknown_non_ideality_is_refused() -> None:
    network, target, _ = compiled("convolutions")
    with pytest.raises(CimcError, match="no non-ideality"):
        TrainableNetwork(network, target, replace(Recipe(), effects=("warp",)))
