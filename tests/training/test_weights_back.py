"""Weights changed in the graph, handed back, loaded: torch and onnxruntime compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from cimc.errors import ModelError
from cimc.frontends.torch_import import import_torch
from cimc.ir import rewrite
from cimc.ir.folds import origin_of, parameters
from cimc.ir.interpreter import interpret
from cimc.ir.network import Network
from cimc.passes.canonicalize import Canonicalize
from cimc.training.weights_back import source_weights
from cimc.verification.data import Data
from tests.passes.networks import context, lowered, network, rng


def perturbed(net: Network, seed: int = 0) -> Network:
    """Return the network after a make-believe training: every parameter is another."""
    generator = torch.Generator().manual_seed(seed)
    graph, tensors = rewrite.copy(net.graph)
    for name, value in tensors.items():
        origin = origin_of(name, net)
        if value.is_floating_point() and origin and next(parameters(origin), None):
            noise = torch.randn(value.shape, generator=generator)
            tensors[name] = value * (1 + 0.3 * noise) + 0.1 * noise
    return replace(net, graph=rewrite.build(graph, tensors))


def canonical(net: Network) -> Network:
    return Canonicalize().run(net, context())


def compare(module: nn.Module, net: Network, *inputs: Tensor) -> None:
    """Load the network's weights into the module; both must compute the same."""
    back = source_weights(net)
    assert back.not_representable == ()
    _, unexpected = module.load_state_dict(back.state_dict(), strict=False)
    assert not unexpected
    with torch.no_grad():
        expected = interpret(net.graph, list(inputs))[0]
        got = module(*inputs)
    size = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * size)


def norm(channels: int, seed: int = 0) -> nn.BatchNorm2d:
    r = torch.Generator().manual_seed(seed)
    made = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for value in (made.weight, made.bias, made.running_mean):
            value.copy_(torch.randn(channels, generator=r))
        made.running_var.copy_(torch.rand(channels, generator=r) + 0.3)
    return made


class Scaled(nn.Module):
    """Convolution, a scale and a shift a channel, BatchNorm."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=bias)
        self.scale = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.shift = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.norm = norm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.shift - -self.conv(x) * self.scale)


class Recurrent(nn.Module):
    """A recurrent layer between two linear ones over (batch, steps, features)."""

    def __init__(self, kind: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 3)
        self.rnn = kind(3, 5, batch_first=True, **options)
        self.head = nn.Linear(10 if options.get("bidirectional") else 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])


class Shared(nn.Module):
    """One weight read three times."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.cell(x))
        return self.out(x)


class Halves(nn.Module):
    """Half of a weight is used, scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight[:3] * 0.5 - 1).T


def images(*extra: nn.Module) -> nn.Module:
    return nn.Sequential(*extra)


TORCH: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv+bn": (lambda: images(nn.Conv2d(3, 4, 3, bias=False), norm(4)), (2, 3, 6, 6)),
    "conv+bias+bn": (lambda: images(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU()), (2, 3, 6, 6)),
    "depthwise+bn": (lambda: images(nn.Conv2d(4, 8, 3, groups=4), norm(8)), (2, 4, 6, 6)),
    "transposed+bn": (
        lambda: images(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), norm(6)),
        (2, 4, 5, 5),
    ),
    "bn alone": (lambda: images(norm(3), nn.Conv2d(3, 2, 1)), (2, 3, 4, 4)),
    "scale, shift, bn": (lambda: Scaled(bias=False), (2, 3, 5, 5)),
    "bias, scale, shift, bn": (lambda: Scaled(bias=True), (2, 3, 5, 5)),
    "linear": (lambda: images(nn.Linear(4, 3), nn.BatchNorm1d(3)), (2, 4)),
    "lstm": (lambda: Recurrent(nn.LSTM), (2, 3, 4)),
    "lstm, both ways": (lambda: Recurrent(nn.LSTM, bidirectional=True), (2, 3, 4)),
    "gru": (lambda: Recurrent(nn.GRU), (2, 3, 4)),
    "gru without bias": (lambda: Recurrent(nn.GRU, bias=False), (2, 3, 4)),
    "shared": (Shared, (2, 4)),
    "half": (Halves, (2, 4)),
}


#: torch takes seconds to export each.
SLOW = {"conv+bn", "bn alone", "scale, shift, bn", "linear", "lstm", "gru without bias", "half"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TORCH]
)
def test_a_module_loads_what_was_trained(name):
    make, shape = TORCH[name]
    torch.manual_seed(1)
    module = make().eval()
    x = torch.randn(shape)
    net = canonical(import_torch(module, (x,)))
    compare(module, perturbed(net), x)


def test_a_batch_norm_stays_as_it_is():
    """The bias goes where the source has one: to the convolution first, else to beta."""
    x = torch.randn(2, 3, 6, 6)
    for bias, changed in ((False, {"0.weight", "1.bias"}), (True, {"0.weight", "0.bias"})):
        module = images(nn.Conv2d(3, 4, 3, bias=bias), norm(4)).eval()
        back = source_weights(perturbed(canonical(import_torch(module, (x,)))))
        before = module.state_dict()
        assert {
            k for k, v in back.state_dict().items() if not torch.equal(v, before[k])
        } == changed


def test_a_channel_scaled_by_zero_keeps_its_weight():
    module = images(nn.Conv2d(3, 4, 3), norm(4)).eval()
    with torch.no_grad():
        module[1].weight[2] = 0
    x = torch.randn(2, 3, 6, 6)
    net = perturbed(canonical(import_torch(module, (x,))))
    (fault,) = source_weights(net).not_representable
    assert fault.parameters == ("0.weight",)
    assert "multiplies it by 0" in fault.reason
    # What the graph has there is what the source lacks; nothing else is missing.
    weight = rewrite.attributes(net.graph)[fault.attribute].numpy()
    assert (fault.missing[2] == weight[2]).all()
    assert not np.delete(fault.missing, 2, axis=0).any()

    graph, tensors = rewrite.copy(net.graph)
    tensors[fault.attribute] = tensors[fault.attribute].clone()
    tensors[fault.attribute][2] = 0
    compare(module, replace(net, graph=rewrite.build(graph, tensors)), x)
    assert torch.equal(source_weights(net).state_dict()["0.weight"][2], module[0].weight[2])


def test_a_scale_without_any_bias_cannot_take_one():
    r = rng()
    constants = {
        "w": r.standard_normal((4, 3, 1, 1)).astype(np.float32),
        "m": r.standard_normal((4, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Mul", ["c", "m"], ["y"]),
    ]
    net = canonical(network(nodes, {"x": ["n", 3, 4, 4]}, {"y": ["n", 4, 4, 4]}, constants))
    assert source_weights(net).not_representable == ()
    graph, tensors = rewrite.copy(net.graph)
    (bias,) = (k for k, v in tensors.items() if v.ndim == 1)
    tensors[bias] = torch.tensor([0.0, 1.0, -2.0, 0.0])
    back = source_weights(replace(net, graph=rewrite.build(graph, tensors)))
    (fault,) = back.not_representable
    assert fault.missing.tolist() == [0.0, 1.0, -2.0, 0.0]
    assert "no bias" in fault.reason
    with pytest.raises(ModelError, match="2 of 4 values are off") as error:
        back.require_complete()
    assert error.value.code == "CIMC-M92"


def test_one_parameter_in_two_roles_cannot_have_two_values():
    """A table looked up and, transposed, multiplied by: two constants, trained apart."""
    r = rng()
    w = r.standard_normal((5, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    net = canonical(network(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"w": w}))
    assert source_weights(net).not_representable == ()
    back = source_weights(perturbed(net))
    (fault,) = back.not_representable
    assert fault.parameters == ("w",)
    # What is handed back is one of them, and the list says what the other is more.
    tensors = rewrite.attributes(perturbed(net).graph)
    values = [v.numpy() if v.shape == w.shape else v.numpy().T for v in tensors.values()]
    missing = fault.missing if fault.missing.shape == w.shape else fault.missing.T
    held = back.weights["w"]
    assert sorted(np.array_equal(held, v) for v in values) == [False, True]
    other = next(v for v in values if not np.array_equal(held, v))
    np.testing.assert_allclose(held + missing, other, rtol=1e-5)


def quantized(net: Network, x: np.ndarray) -> Network:
    data = Data({net.inputs[0].name: x}, None, len(x))
    return lowered(net, "quantize", data=data, quantize={"levels": 4})


@pytest.mark.parametrize(
    "name", ["conv+bn", *(pytest.param(n, marks=pytest.mark.slow) for n in ("linear", "lstm"))]
)
def test_quantized_weights_with_their_corrections(name):
    make, shape = TORCH[name]
    torch.manual_seed(2)
    module = make().eval()
    x = torch.randn(16, *shape[1:])
    net = import_torch(module, (x[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    compare(module, perturbed(quantized(net, x.numpy())), x)


def test_a_product_without_bias_lists_its_correction():
    module = Shared().eval()
    x = torch.randn(16, 4)
    net = import_torch(module, (x[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    net = quantized(net, x.numpy())
    tensors = rewrite.attributes(net.graph)
    faults = source_weights(net).not_representable
    assert {f.parameters for f in faults} <= {(), ("cell.bias",)}
    added = [f for f in faults if not f.parameters]
    assert added
    for fault in added:
        np.testing.assert_array_equal(fault.missing, tensors[fault.attribute].double().numpy())


def test_latent_weights_are_those_before_quantization():
    module = images(nn.Conv2d(3, 4, 3, bias=False), norm(4)).eval()
    x = torch.randn(16, 3, 6, 6)
    net = import_torch(module, (x[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    before = module.state_dict()["0.weight"].clone()
    net = quantized(net, x.numpy())
    got = source_weights(net, latent=True).state_dict()["0.weight"]
    torch.testing.assert_close(got, before, rtol=1e-6, atol=0)
    assert not torch.allclose(source_weights(net).state_dict()["0.weight"], before, rtol=1e-2)
