import pytest
import torch
from scipy import stats

from cimc.device.normals import LANES, SMALL, Normals


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [10, SMALL - 1, SMALL, 100_003])
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
    x = Normals(1, "test").like(torch.empty(4 * SMALL)).clone()
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3
    lanes = x.view(LANES, -1)
    correlation = torch.corrcoef(lanes) - torch.eye(LANES)
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
    like = torch.empty(2 * SMALL)
    with torch.inference_mode():
        source.like(like)
        inside = source.like(like).clone()
    fresh = Normals(1, "test")
    fresh.like(like)
    assert torch.equal(fresh.like(like), inside)


def test_nothing_to_draw() -> None:
    assert Normals(1, "test").like(torch.empty(0, 3)).shape == (0, 3)
