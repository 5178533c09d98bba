import torch

from cimc.device.seeding import generator


def draw(*key: str | int) -> list[float]:
    return torch.rand(4, generator=generator(*key)).tolist()  # type: ignore[arg-type]


def test_same_purpose_same_numbers() -> None:
    assert draw(1, "programming", "conv1", 0) == draw(1, "programming", "conv1", 0)


def test_everything_in_the_purpose_counts() -> None:
    keys = [
        (1, "programming", "a", 0), (2, "programming", "a", 0), (1, "stuck", "a", 0),
        (1, "programming", "b", 0), (1, "programming", "a", 1), (1, "programming", "a0"),
    ]  # fmt: skip
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)


def test_large_and_negative_seeds() -> None:
    assert draw(2**80, "x") != draw(-1, "x")
