"""Import of torch networks: modules, traced graphs, exported programs, .pt2 files."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cimc.errors import ModelError
from cimc.frontends import torch_import
from cimc.frontends.torch_import import import_torch, load_pt2

BATCH = torch.export.Dim("batch", min=1, max=64)


class Convolutional(nn.Module):
    """Convolution, batch normalization, a linear layer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(10, 3, batch_first=True)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])[0]


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return self.norm(x + self.attention(x, x, x, need_weights=False)[0])


class TwoInputs(nn.Module):
    def forward(self, a, b):
        return a + b, a * b


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.held = torch.ones(2, requires_grad=True) * 2

    def forward(self, x):
        return x + self.held


class Swapped(nn.Module):
    def forward(self, a, b):
        return a * b, a + b


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def convolutional():
    torch.manual_seed(0)
    module = Convolutional()
    module(torch.randn(8, 1, 6, 6))  # running statistics that are not 0 and 1
    return module.eval()


def agree(network, module, *inputs):
    with torch.no_grad():
        expected = module(*inputs)
        got = network.graph(*inputs)
    for a, b in zip(got, expected if isinstance(expected, tuple) else (expected,), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def imported(convolutional):
    """The network, and the module's tensors as they were before it was imported."""
    before = copy.deepcopy(convolutional.state_dict())
    example = (torch.randn(2, 1, 6, 6),)
    return import_torch(convolutional, example, dynamic_shapes=({0: BATCH},)), before


def test_module_keeps_names_and_gives_the_same(imported, convolutional):
    network, _ = imported
    assert network.source.kind == "torch"
    names = set(network.parameter_names.values())
    assert names >= set(convolutional.state_dict()) - {"features.1.num_batches_tracked"}
    assert network.inputs[0].shape[1:] == (1, 6, 6)
    assert isinstance(network.inputs[0].shape[0], str)
    agree(network, convolutional, torch.randn(5, 1, 6, 6))


def test_the_batch_normalization_is_not_folded(imported, convolutional):
    network, _ = imported
    attribute = {v: k for k, v in network.parameter_names.items()}["features.0.weight"]
    expected = convolutional.state_dict()["features.0.weight"]
    assert torch.equal(getattr(network.graph, attribute), expected)


def test_the_users_module_is_not_touched(imported, convolutional):
    network, before = imported
    users = {t.data_ptr() for t in convolutional.state_dict().values()}
    assert users.isdisjoint(t.data_ptr() for t in network.graph.state_dict().values())
    assert all(p.requires_grad for p in convolutional.parameters())
    for name, value in convolutional.state_dict().items():
        assert torch.equal(value, before[name])
    assert not convolutional.training


def test_the_oracle_runs_the_export(imported, convolutional):
    network, _ = imported
    x = torch.randn(2, 1, 6, 6)
    (got,) = network.source.oracle({network.inputs[0].name: x.numpy()}).values()
    np.testing.assert_allclose(got, convolutional(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "shape"), [(Recurrent, (2, 6, 4)), (Attentive, (2, 5, 8))], ids=["rnn", "attention"]
)
def test_other_networks(module, shape):
    built = module().eval()
    network = import_torch(built, (torch.randn(shape),))
    agree(network, built, torch.randn(shape))
    called = {getattr(n.target, "__name__", "") for n in network.graph.graph.nodes}
    assert "opaque" not in called
    assert module is not Recurrent or {"lstm", "gru"} <= called


def test_graph_module(convolutional):
    traced = torch.fx.symbolic_trace(convolutional)
    agree(import_torch(traced, torch.randn(2, 1, 6, 6)), convolutional, torch.randn(2, 1, 6, 6))


def test_exported_program_with_its_own_inputs_and_dynamic_shapes(convolutional):
    program = torch.export.export(
        convolutional, (torch.randn(2, 1, 6, 6),), dynamic_shapes=({0: BATCH},)
    )
    network = import_torch(program)
    assert "head.weight" in network.parameter_names.values()
    agree(network, convolutional, torch.randn(3, 1, 6, 6))


def test_the_module_of_an_exported_program(convolutional):
    """Its training flag is set whatever the mode it was exported in, and it has no eval()."""
    x = torch.randn(2, 1, 6, 6)
    module = torch.export.export(convolutional, (x,)).module()
    assert module.training
    agree(import_torch(module, x), convolutional, torch.randn(2, 1, 6, 6))


def test_a_traced_graph_with_a_layer_in_training_mode(convolutional):
    traced = torch.fx.symbolic_trace(copy.deepcopy(convolutional))
    traced.features.get_submodule("1").train()
    assert "features.1" in refused("CIMC-M41", traced, torch.randn(1, 1, 6, 6)).message


def test_an_exported_active_dropout():
    layers = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    program = torch.export.export(layers.train(), (torch.ones(2, 3),))
    refused("CIMC-M10", program)


def test_several_inputs_and_outputs():
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    network = import_torch(TwoInputs().eval(), (a, b))
    assert [s.name for s in network.inputs] == ["a", "b"]
    assert len(network.outputs) == 2
    agree(network, TwoInputs(), torch.randn(2, 3), torch.randn(2, 3))


def test_numpy_example_inputs():
    example = (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    agree(
        import_torch(TwoInputs().eval(), example), TwoInputs(), torch.ones(2, 3), torch.ones(2, 3)
    )


def test_pt2_round_trip(tmp_path, convolutional):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(convolutional, (torch.randn(2, 1, 6, 6),)), path)
    agree(load_pt2(path, trust_input=True), convolutional, torch.randn(2, 1, 6, 6))


# -- refused ---------------------------------------------------------------------------------


def refused(code, *arguments, **keywords):
    with pytest.raises(ModelError) as error:
        import_torch(*arguments, **keywords)
    assert error.value.code == code, str(error.value)
    return error.value


def test_training_mode():
    assert "training mode" in refused("CIMC-M41", Convolutional(), torch.randn(1, 1, 6, 6)).message


def test_one_layer_in_training_mode(convolutional):
    module = copy.deepcopy(convolutional)
    module.features[1].train()
    error = refused("CIMC-M41", module, torch.randn(1, 1, 6, 6))
    assert "features.1" in error.message
    assert "eval()" in error.hint


def test_no_example_inputs(convolutional):
    assert "example_inputs" in refused("CIMC-M40", convolutional).hint


def test_inputs_by_name(convolutional):
    refused("CIMC-M40", convolutional, {"x": torch.randn(1, 1, 6, 6)})


def test_dynamic_shapes_of_an_exported_program(convolutional):
    program = torch.export.export(convolutional, (torch.randn(2, 1, 6, 6),))
    refused("CIMC-M40", program, dynamic_shapes=({0: BATCH},))


class DataDependent(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_what_torch_cannot_export():
    error = refused("CIMC-M42", DataDependent().eval(), torch.randn(3))
    assert "\n" not in error.message
    assert error.where == "DataDependent"


def test_an_export_that_does_not_agree(monkeypatch):
    """The exporter is made to give another module."""
    export = torch_import._export
    monkeypatch.setattr(
        torch_import, "_export", lambda _, arguments, shapes: export(Swapped(), arguments, shapes)
    )
    error = refused("CIMC-M43", TwoInputs().eval(), (torch.ones(2), torch.full((2,), 3.0)))
    assert "differs by" in error.message


def test_a_module_onnxruntime_cannot_run():
    module = nn.Linear(4, 3).bfloat16().eval()
    error = refused("CIMC-M46", module, torch.ones(2, 4, dtype=torch.bfloat16))
    assert "float()" in error.hint


class Nested(nn.Module):
    def forward(self, x, pair):
        return {"sum": x + pair[0], "difference": x - pair[1]}


def test_a_module_that_cannot_be_copied():
    refused("CIMC-M42", Uncopyable().eval(), torch.ones(2))


def test_nested_inputs_and_outputs():
    a, b, c = (torch.randn(2) for _ in range(3))
    network = import_torch(Nested().eval(), (a, (b, c)))
    assert len(network.inputs) == 3
    total, difference = network.graph(a, b, c)
    assert {float(total[0]), float(difference[0])} == {float(a[0] + b[0]), float(a[0] - c[0])}


def test_pt2_is_not_read_without_trust(tmp_path):
    path = tmp_path / "evil.pt2"
    path.write_bytes(b"anything")
    with pytest.raises(ModelError) as error:
        load_pt2(path, trust_input=False)
    assert error.value.code == "CIMC-M44"
    assert "unpickles" in error.value.message
    assert "--trust-input" in error.value.hint


def test_a_broken_pt2(tmp_path):
    path = tmp_path / "broken.pt2"
    path.write_bytes(b"anything")
    with pytest.raises(ModelError) as error:
        load_pt2(path, trust_input=True)
    assert error.value.code == "CIMC-M45"
