from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from scipy import stats

from cimc.device.box_muller import BLOCK
from cimc.device.normals import Normals


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [10, BLOCK - 1, BLOCK + 1, 100_003, 300_001])
def test_numbers_do_not_depend_on_threads(size: int, threads) -> None:
    drawn = []
    for count in (1, 2, 3):
        threads(count)
        source = Normals(1, "test")
        drawn.append([source.like(torch.empty(size)).clone() for _ in range(2)])
    for other in drawn[1:]:
        assert all(torch.equal(a, b) for a, b in zip(drawn[0], other, strict=True))
    assert not torch.equal(*drawn[0])


def test_distribution_and_independence() -> None:
    x = Normals(1, "test").like(torch.empty(2 * BLOCK)).clone()
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3
    parts = x.view(8, -1)
    correlation = torch.corrcoef(parts) - torch.eye(8)
    assert float(correlation.abs().max()) < 0.03
    assert not torch.equal(x, Normals(2, "test").like(x))


def test_layouts() -> None:
    image = torch.empty(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    for like in (image, image.contiguous(), image.transpose(0, 1)[:, :2]):
        noise = Normals(1, "test").like(like)
        assert noise.shape == like.shape
        assert len(noise.unique()) == like.numel()
    assert Normals(1, "test").like(image).stride() == image.stride()


def test_inside_and_outside_inference_mode(threads) -> None:
    threads(2)
    source = Normals(1, "test")
    like = torch.empty(BLOCK)
    with torch.inference_mode():
        source.like(like)
        inside = source.like(like).clone()
    fresh = Normals(1, "test")
    fresh.like(like)
    assert torch.equal(fresh.like(like), inside)


def test_nothing_to_draw() -> None:
    assert Normals(1, "test").like(torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("size", [10, BLOCK - 1, BLOCK + 1, 100_003, 300_001])
def test_adding_in_parts_is_adding_what_is_drawn(size: int, threads) -> None:
    """The fused pass against its parts, whatever the number of threads."""
    x, variance = torch.randn(size), torch.rand(size) - 0.1
    drawn = Normals(1, "test").like(x).clone()
    expected = x + 0.3 * variance.clamp(min=0).sqrt() * drawn
    for count in (1, 2, 3):
        threads(count)
        got = Normals(1, "test").add(x.clone(), variance.clone(), 0.3)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_adding_in_any_layout() -> None:
    image = torch.zeros(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    for x in (image, image.contiguous(), image.transpose(2, 3)[:, :2]):
        x, variance = x.clone(), torch.ones_like(x)
        got = Normals(1, "test").add(x, variance)
        assert got is x
        assert len(x.unique()) == x.numel()
    shared = Normals(1, "test").add(torch.zeros(4, 3), torch.ones(1, 3))
    assert bool((shared == shared[0]).all())
    double = Normals(1, "test").add(torch.zeros(3, dtype=torch.float64), torch.ones(3).double())
    assert double.dtype == torch.float64
    assert bool((double != 0).all())


def test_a_part_of_a_larger_tensor_leaves_the_rest_alone() -> None:
    whole = torch.zeros(4, 10)
    Normals(1, "test").add(whole[1:3], torch.ones(2, 10))
    assert bool((whole[1:3] != 0).all())
    assert bool((whole[[0, 3]] == 0).all())


def test_infinite_currents_are_left_as_they_are() -> None:
    got = Normals(1, "test").add(torch.tensor([1e38, float("inf")]), torch.full((2,), 1e38))
    assert got[1] == float("inf")


def test_threads_may_draw_at_the_same_time() -> None:
    """Each keeps its own memory; what one draws is not overwritten by the other."""
    source = Normals(1, "test")
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: source.like(torch.empty(BLOCK)).clone(), range(16)))
    assert all(abs(float(x.std()) - 1) < 0.03 for x in drawn)


def test_a_learned_variance_keeps_its_numbers() -> None:
    """The numbers of a read stay those of its backward pass when others are drawn after it."""
    variance = torch.full((50,), 0.25, requires_grad=True)
    normals = Normals(1, "test")
    y = normals.add(torch.zeros(50), variance)
    normals.like(torch.zeros(50))
    (gradient,) = torch.autograd.grad(y.sum(), variance)
    # d(z sqrt v)/dv = z / (2 sqrt v), and y is z / 2.
    torch.testing.assert_close(gradient, 2 * y.detach())


def test_no_variance_no_derivative() -> None:
    variance = torch.zeros(3, requires_grad=True)
    y = Normals(1, "test").add(torch.ones(3), variance)
    assert torch.equal(y.detach(), torch.ones(3))
    assert torch.equal(torch.autograd.grad(y.sum(), variance)[0], torch.zeros(3))
