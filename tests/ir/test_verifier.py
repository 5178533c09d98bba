"""Every rule of the verifier, broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.fx import Graph, GraphModule

from cimc.ir.geometry import Geometry
from cimc.ir.layer import TILE_FIELDS, Cells, Codebook, CrossbarLayer, Layout, Use
from cimc.ir.network import Network, Signal, Source, Stage
from cimc.ir.verifier import RULES, verify
from cimc.ops.table import OPERATORS

F = {name: spec.function for name, spec in OPERATORS.items()}


def network(*, stage: Stage = Stage.IMPORTED, **changes: object) -> Network:
    """Return ``y = relu(x @ w)`` with w 4 by 6, at a stage."""
    graph = Graph()
    x = graph.placeholder("x")
    w = graph.get_attr("w")
    y = graph.call_function(F["matmul"], (x, w))
    graph.output((graph.call_function(F["relu"], (y,)),))
    root = torch.nn.Module()
    root.register_buffer("w", torch.arange(24.0).reshape(4, 6) % 3)
    made = Network(
        graph=GraphModule(root, graph),
        inputs=(Signal("x", "float32", ("", 4)),),
        outputs=(Signal("y", "float32", ("", 6)),),
        source=Source("onnx", "", "", lambda inputs: dict(inputs)),
        stage=stage,
        layers={"fc": layer()},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def layer(**changes: object) -> CrossbarLayer:
    """Return a layer of 4 rows and 6 columns in two row tiles and two column tiles."""
    codes = (torch.arange(24).reshape(1, 4, 6) % 3).to(torch.uint8)
    tiles = np.array(
        [
            [0, 0, 0, 3, 0, 4, 0, 0, 0],
            [0, 0, 0, 3, 4, 2, 0, 0, 8],
            [0, 1, 3, 1, 0, 4, 0, 3, 0],
            [0, 1, 3, 1, 4, 2, 1, 0, 0],
        ],
        np.int32,
    )
    made = CrossbarLayer(
        name="fc",
        weight="w",
        geometry=Geometry("matrix", 1, 4, 6),
        uses=(Use("matmul", 1),),
        codebook=Codebook(torch.tensor([0.0, 1.0, 2.0]), codes),
        tiles=tiles,
        row_tiles=np.array([[0, 3], [3, 1]], np.int32),
        cells=Cells((torch.ones(1, 4, 6), torch.ones(1, 4, 6)), None, torch.ones(1)),
        encoding="differential-pair",
        layout=Layout(2),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def tiles(number: int, **fields: int) -> dict[str, CrossbarLayer]:
    """Return the layer with fields of one tile changed."""
    made = layer()
    assert made.tiles is not None
    table = made.tiles.copy()
    for name, value in fields.items():
        table[number, TILE_FIELDS.index(name)] = value
    return {"fc": replace(made, tiles=table)}


@pytest.mark.parametrize("stage", list(Stage))
def test_a_valid_network(stage: Stage) -> None:
    assert verify(network(stage=stage)) == []


def test_levels_of_each_column() -> None:
    codes = layer().codebook.codes  # type: ignore[union-attr]
    book = Codebook(torch.arange(3.0).expand(6, 3), codes)
    made = network(stage=Stage.QUANTIZED, layers={"fc": layer(codebook=book)})
    assert verify(made) == []


def broken(made: Network) -> set[str]:
    """Return the names of the rules that do not hold."""
    return {line.rsplit("(", 1)[1].rstrip(")") for line in verify(made)}


BROKEN_LAYERS = [
    ({"uses": (Use("relu", 0),)}, "layers_are_read_where_they_say"),
    ({"uses": (Use("nowhere", 1),)}, "layers_are_read_where_they_say"),
    ({"geometry": Geometry("matrix", 1, 4, 5)}, "weights_have_the_size_of_their_geometry"),
    ({"tiles": None}, "tiles_cover_each_matrix_once"),
    ({"cells": None}, "layers_have_cells"),
    (
        {"cells": Cells((torch.ones(1, 4, 5),) * 2, None, torch.ones(1))},
        "layers_have_cells",
    ),
    (
        {"cells": Cells((torch.ones(1, 4, 6),) * 2, None, torch.tensor([torch.inf]))},
        "layers_have_cells",
    ),
    (
        {"codebook": Codebook(torch.tensor([0.0, 1.0]), layer().codebook.codes)},  # type: ignore[union-attr]
        "codes_name_levels",
    ),
    (
        {"codebook": Codebook(torch.tensor([2.0, 1.0, 0.0]), layer().codebook.codes)},  # type: ignore[union-attr]
        "codes_name_levels",
    ),
    (
        {"codebook": Codebook(torch.tensor([0.0, 1.0, 3.0]), layer().codebook.codes)},  # type: ignore[union-attr]
        "the_graph_holds_the_quantized_weights",
    ),
    (
        {"codebook": Codebook(torch.arange(3.0).expand(6, 3) + 1, layer().codebook.codes)},  # type: ignore[union-attr]
        "the_graph_holds_the_quantized_weights",
    ),
]


@pytest.mark.parametrize(("changes", "rule"), BROKEN_LAYERS)
def test_broken_layers(changes: dict[str, object], rule: str) -> None:
    if rule == "layers_have_cells" or rule.startswith("tiles"):
        made = network(stage=Stage.ASSIGNED if rule == "layers_have_cells" else Stage.TILED)
    else:
        made = network(stage=Stage.QUANTIZED)
    assert rule in broken(replace(made, layers={"fc": layer(**changes)}))


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (0, {"rows": 2}),  # a hole
        (0, {"columns": 5}),  # an overlap
        (1, {"column": 0, "columns": 2}),  # both, with the right area
        (3, {"columns": 3}),  # out of the matrix
        (0, {"group": 1}),
        (0, {"row": -1}),
    ],
)
def test_tiles_that_do_not_cover(row: int, fields: dict[str, int]) -> None:
    made = network(stage=Stage.TILED, layers=tiles(row, **fields))
    assert broken(made) == {"tiles_cover_each_matrix_once"}


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (0, {"array": -1}),
        (1, {"array_column": 7}),  # one bit line into the pairs of its neighbour
        (2, {"array_row": 2}),
        (3, {"array": 0, "array_row": 3, "array_column": 4}),
    ],
)
def test_tiles_that_share_cells(row: int, fields: dict[str, int]) -> None:
    made = network(stage=Stage.PLACED, layers=tiles(row, **fields))
    assert broken(made) == {"tiles_lie_apart_on_arrays"}


def test_offset_column_takes_one_more_bit_line() -> None:
    placed = tiles(1, array_column=4)
    offset = replace(placed["fc"], layout=Layout(1, extra=1))
    assert broken(network(stage=Stage.PLACED, layers={"fc": offset})) == {
        "tiles_lie_apart_on_arrays"
    }
    apart = replace(tiles(1, array_column=5)["fc"], layout=Layout(1, extra=1))
    assert broken(network(stage=Stage.PLACED, layers={"fc": apart})) == set()


def test_a_twin_array_is_taken() -> None:
    # The second tile moves to the array after that of the first.
    other = replace(tiles(1, array=1, array_row=1, array_column=0)["fc"], layout=Layout(1))
    assert broken(network(stage=Stage.PLACED, layers={"fc": other})) == set()
    twins = replace(other, layout=Layout(1, arrays=2))
    assert broken(network(stage=Stage.PLACED, layers={"fc": twins})) == {
        "tiles_lie_apart_on_arrays"
    }


def test_multipliers_that_are_not_those_of_the_levels() -> None:
    made = network(stage=Stage.QUANTIZED)
    ((name, layer),) = made.layers.items()
    assert layer.codebook is not None
    r, c = torch.tensor([1.0, 2.0]), torch.tensor([-1.5])
    levels = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    codes = torch.zeros_like(layer.codebook.codes)
    good = Codebook(levels, codes, r, c)
    other = {"sliced_levels_are_sums"}
    for book, wrong in (
        (good, set()),
        (replace(good, offset=None), other),
        (replace(good, multipliers=-r), other),
        (replace(good, offset=c + 1), other),
    ):
        found = broken(replace(made, layers={name: replace(layer, codebook=book)}))
        assert found - {"the_graph_holds_the_quantized_weights"} == wrong


def changed(*, operator: object, args: tuple[object, ...], **attributes: object) -> Network:
    """Return the network with another call at its end; ``x`` stands for the input."""
    made = network()
    graph = made.graph.graph
    x, last = next(iter(graph.nodes)), next(n for n in graph.nodes if n.op == "output")
    with graph.inserting_before(last):
        operands = tuple(x if a == "x" else a for a in args)
        node = graph.call_function(operator, operands, attributes)  # type: ignore[arg-type]
    last.args = ((node,),)
    return made


@pytest.mark.parametrize(
    ("made", "rules"),
    [
        (changed(operator=torch.relu, args=("x",)), {"only_operators_of_the_table_are_called"}),
        (
            changed(operator=F["softmax"], args=("x",), axes=1),
            {"attributes_belong_to_the_operator"},
        ),
        (
            changed(operator=F["softmax"], args=("x",), axis=torch.float32),
            {"attributes_belong_to_the_operator"},
        ),
        (changed(operator=F["add"], args=("x", 1.0)), {"operands_are_values"}),
        (changed(operator=F["add"], args=("x",)), {"operands_fit_the_operator"}),
        (changed(operator=F["relu"], args=("x", "x")), {"operands_fit_the_operator"}),
        (changed(operator=F["concat"], args=("x", "x")), {"operands_fit_the_operator"}),
    ],
)
def test_broken_calls(made: Network, rules: set[str]) -> None:
    assert rules <= broken(made)


def test_signals_and_names() -> None:
    x = Signal("x", "float32", None)
    assert "signals_match_the_graph" in broken(network(inputs=()))
    assert "signals_match_the_graph" in broken(network(outputs=()))
    assert "names_are_unique" in broken(network(inputs=(x, x)))


def test_the_message_is_the_rule() -> None:
    (line,) = verify(network(inputs=()))
    assert line == (
        "1 placeholders, 0 inputs: Every placeholder is an input, every result an output, in "
        "order. (signals_match_the_graph)"
    )
    assert all(rule.__doc__ for rules in RULES.values() for rule in rules)
