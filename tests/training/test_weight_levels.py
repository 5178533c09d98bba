"""What all levels of weights in training have in common."""

import math

import pytest
import torch

from cimc.errors import UsageError
from cimc.ir.layer import Codebook
from cimc.quantizers.layer import LayerQuantizer
from cimc.training.lloyd_levels import LloydLevels
from cimc.training.nearest import decode
from cimc.training.projection import projection
from cimc.training.recipe import Recipe
from cimc.training.scaled_levels import ScaledLevels
from cimc.training.sum_levels import SumLevels
from cimc.training.weight_levels import levels_of

STATES = (1.0, 4.0, 9.0, 20.0)


def weights(seed=0, shape=(2, 40, 6)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


KINDS = [
    ("lloyd", "differential-pair", None, "fixed", LloydLevels),
    ("uniform", "differential-pair", None, "fixed", ScaledLevels),
    ("lloyd", "differential-pair", STATES, "fixed", ScaledLevels),
    ("lloyd", "offset-column", STATES, "fixed", ScaledLevels),
    ("n-multiplier", "bit-sliced", (1.0, 20.0), "fixed", SumLevels),
    ("uniform", "bit-sliced", None, "step", SumLevels),
    ("n-multiplier", "differential-pair", None, "multipliers", SumLevels),
]


def module_of(kind, matrix, by_column, **settings):
    quantizer, encoding, states, learned, _ = kind
    count = 4 if encoding == "offset-column" else 8
    book = LayerQuantizer(quantizer, count, by_column, states, encoding).from_weights(matrix)
    recipe = Recipe(levels=learned, **settings)
    uniform = quantizer == "uniform"
    return levels_of(book, matrix, recipe, uniform=uniform, states_us=states, encoding=encoding)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(map(str, k[:2])) + f"-{k[3]}")
class TestEveryKind:
    def test_is_of_its_class(self, kind, by_column):
        assert type(module_of(kind, weights(), by_column)) is kind[4]

    def test_the_codebook_says_what_forward_computes(self, kind, by_column):
        matrix = weights()
        module = module_of(kind, matrix, by_column)
        for latent in (matrix, 1.3 * matrix, matrix.mT.contiguous().mT):
            out, book = module(latent), module.codebook(latent)
            assert torch.equal(decode(book.codes, book.levels), out)
            assert book.codes.is_contiguous()
            assert not (book.levels.diff(dim=-1) < 0).any()
            assert torch.equal(module.limit(), book.levels.abs().amax(-1).reshape(-1))

    def test_levels_that_moved_are_the_nearest_still(self, kind, by_column):
        module, matrix = module_of(kind, weights(), by_column), 3 * weights(5)
        module(matrix)
        module.after_step(matrix)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter *= 1.5
        table = module.table().detach().double()
        table = table.reshape(2, 1, 6, -1) if by_column else table
        least = (matrix.double()[..., None] - table).abs().amin(-1)
        assert torch.equal((module(matrix).detach().double() - matrix.double()).abs(), least)

    def test_the_gradient_of_weights_goes_straight_through(self, kind, by_column):
        matrix = weights().requires_grad_()
        out = module_of(kind, matrix.detach(), by_column)(matrix)
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        out.backward(gradient)
        assert torch.equal(matrix.grad, gradient)

    def test_a_state_dict_is_all_there_is_to_know(self, kind, by_column):
        moved = module_of(kind, matrix := weights(), by_column)
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        moved.after_step(3 * matrix)
        fresh = module_of(kind, matrix, by_column)
        fresh.load_state_dict(moved.state_dict())
        assert torch.equal(fresh(matrix), moved(matrix))
        factors = [m.after_step(12 * matrix) for m in (fresh, moved)]
        learned = kind[3] != "fixed"
        assert [f is None for f in factors] == [learned, learned]
        assert learned or torch.equal(*factors)
        assert torch.equal(fresh.table(), moved.table())

    def test_the_penalty_is_the_distance_to_levels(self, kind, by_column):
        """[NM Eq. 6], its gradient by autograd of the smallest of all distances."""
        module = module_of(kind, weights(), by_column)
        matrix = (1.1 * weights(2)).requires_grad_()
        found = module.penalty(matrix)
        parameters = [p for p in module.parameters() if p.requires_grad]
        got = torch.autograd.grad(found, [matrix, *parameters])
        table = module.table().double()
        if by_column:
            table = table.reshape(2, 1, 6, -1)
        away = (matrix.double()[..., None] - table) ** 2
        largest = {4: 1, 8: 3}.get(table.shape[-1], (table.shape[-1] - 1) // 2)
        expected = away.amin(-1).sum() / math.sqrt(matrix.numel() * largest)
        wanted = torch.autograd.grad(expected, [matrix, *parameters])
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

    def test_regularized_weights_stay_float_in_training(self, kind, by_column):
        matrix = weights()
        module = module_of(kind, matrix, by_column, quantization="regularized")
        assert module(matrix) is matrix
        assert module.after_step(5 * matrix) is None
        module.eval()
        assert torch.equal(module(matrix), module.quantized(matrix))


def test_alpha_is_that_of_lsq():
    """1 / sqrt(n Q_P), Q_P = 2^(b-1) - 1: 7 at four bits, 3 at three."""
    matrix = torch.randn(1, 30, 10, generator=torch.Generator().manual_seed(0))
    for bits, largest in ((4, 7), (3, 3), (2, 1)):
        book = Codebook(torch.linspace(-1, 1, 2**bits), torch.zeros(1, 30, 10, dtype=torch.uint8))
        assert LloydLevels(book, matrix, threshold=0.1).alpha == pytest.approx(
            (300 * largest) ** -0.5
        )


def test_nothing_is_kept_for_the_backward_pass_of_fixed_levels():
    matrix = weights().requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module_of(KINDS[0], matrix.detach(), False)(matrix)
    assert kept == []


def test_learned_levels_keep_a_byte_a_weight():
    matrix = weights().requires_grad_()
    module, kept = module_of(KINDS[-1], matrix.detach(), False), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        module(matrix)
    large = [t for t in kept if t.numel() >= matrix.numel()]
    assert [t.dtype for t in large] == [torch.uint8]


class TestProjection:
    def test_of_weights_on_levels(self):
        held, matrix = torch.tensor([[[1.0], [-2.0]]]), torch.tensor([[[1.5], [1.0]]])
        assert float(projection(held, matrix, by_column=False)) == (1.5 + 2.0) / 5.0

    def test_by_column_and_in_either_memory_order(self):
        held, matrix = weights(1), weights(2)
        each = projection(held, matrix, by_column=True)
        for g in range(2):
            for c in range(6):
                a, b = held[g, :, c].double(), matrix[g, :, c].double()
                assert float(each[6 * g + c]) == pytest.approx(
                    float((a * b).abs().sum() / (a @ a))
                )
        turned = held.mT.contiguous().mT
        for one in (True, False):
            both = [projection(h, matrix, by_column=one) for h in (turned, held)]
            torch.testing.assert_close(*both, rtol=1e-6, atol=0.0)

    def test_of_nothing_but_zeros(self):
        zero, some = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
        for one in (True, False):
            assert (projection(zero, zero, by_column=one) == 1).all()
            assert torch.isinf(projection(zero, some, by_column=one)).all()


def test_sums_on_cells_of_fixed_states_are_refused():
    with pytest.raises(UsageError) as info:
        module_of(("n-multiplier", "differential-pair", STATES, "fixed", None), weights(), False)
    assert info.value.code == "CIMC-U52"


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("learned", ["step", "multipliers"])
def test_only_sums_learn(kind, learned):
    with pytest.raises(UsageError) as info:
        module_of((*kind[:3], learned, None), weights(), False)
    assert info.value.code == "CIMC-U50"
