"""Splits are disjoint and fixed; the data have the shapes the networks take."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.training_networks import characters, images, scenes
from tests.training_networks.data import SPLITS, network_data, task_data
from tests.training_networks.images import CIFAR_VARIABLE, Split, read_cifar
from tests.zoo.cache import MissingError
from tests.zoo.task import Array

TRAINED_ON: tuple[Split, ...] = ("train", "calibration", "validation")


def test_image_splits_are_disjoint_and_complete() -> None:
    parts = [images.members(60000, split) for split in TRAINED_ON]
    assert [len(part) for part in parts] == [54000, 1000, 5000]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(60000))
    assert len(images.members(60000, "test")) == 0


def test_image_splits_never_change() -> None:
    chosen = images.members(60000, "calibration")
    assert hashlib.sha256(chosen.tobytes()).hexdigest()[:16] == "ec7aba1b15621167"


def test_fashion_has_every_class_in_every_split() -> None:
    for split in ("calibration", "test"):
        data = network_data("resnet8", split)
        assert data["input"].shape[1:] == (1, 28, 28)
        assert data["input"].dtype == np.float32
        assert data["labels"].dtype == np.int64
        assert np.unique(data["labels"]).tolist() == list(range(10))
        # Normalized with the training images' figures.
        assert abs(float(data["input"].mean())) < 0.05
        assert abs(float(data["input"].std()) - 1) < 0.05


def test_splits_share_no_fashion_image() -> None:
    drawn = {
        split: {image.tobytes() for image in task_data("fashion", split)["input"]}
        for split in ("calibration", "validation")
    }
    # The published set has a few images twice; splits are by number, so such pairs may part.
    assert len(drawn["calibration"] & drawn["validation"]) <= 2


def test_window_splits_are_disjoint_blocks() -> None:
    total = characters.BLOCK * 400
    parts = [characters.members(total, split) for split in SPLITS]
    assert [len(part) for part in parts] == [300 * 40, 1000, 1000, 2000]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(total))
    for part in parts:
        starts = part.reshape(-1, characters.BLOCK)
        assert np.array_equal(starts, starts[:, :1] + np.arange(characters.BLOCK))


def test_clean_keeps_the_alphabet_only() -> None:
    assert len(characters.ALPHABET) == len(set(characters.ALPHABET)) == 65
    assert characters.clean("A  b{1}\r\n\n \n\nc & [Exit.]") == "A b\n\nc [Exit.]\n\n"


def test_causal_labels_are_the_next_character() -> None:
    data = task_data("gpt", "calibration", 50)
    assert data["input"].shape == data["labels"].shape == (50, 64)
    assert np.array_equal(data["input"][:, 1:], data["labels"][:, :-1])
    text = "".join(characters.ALPHABET[k] for k in data["input"].ravel())
    assert " the " in text


def test_masked_labels_are_what_is_hidden() -> None:
    data = task_data("bert", "test")
    right = task_data("gpt", "test")["input"]
    hidden = data["input"] == characters.MASK
    assert np.array_equal(hidden, data["labels"] != characters.IGNORED)
    assert np.array_equal(np.where(hidden, data["labels"], data["input"]), right)
    # Binomial of 128,000: 5 standard deviations are 0.005 (false alarm 6e-7, and fixed seeds).
    assert abs(hidden.mean() - characters.MASKED) < 0.005
    again, _ = characters.masked("test", draw=1)
    assert not np.array_equal(again, data["input"])


def test_scenes_agree_with_their_labels() -> None:
    made = scenes.make("calibration", 20)
    again = scenes.make("calibration", 20)
    assert [part.tobytes() for part in made] == [part.tobytes() for part in again]
    assert made.images.shape == (20, 1, 56, 56)
    counts = (made.boxes[..., 0] > 0).sum(1)
    assert set(counts) <= {1, 2, 3}
    for classes, boxes in zip(made.classes, made.boxes, strict=True):
        seen = {int(kind) for kind in boxes[:, 0] if kind}
        assert set(np.unique(classes)) - {0} == seen
        outside = np.ones((56, 56), bool)
        for kind, x0, y0, x1, y1 in boxes[boxes[:, 0] > 0]:
            assert 0 <= x0 < x1 <= 56
            assert 0 <= y0 < y1 <= 56
            assert (classes[y0:y1, x0:x1] == kind).any()
            outside[y0:y1, x0:x1] = False
        assert not classes[outside].any()


def test_no_two_items_of_a_scene_answer_in_one_cell() -> None:
    boxes = scenes.make("validation", 60).boxes
    for scene in boxes:
        real = scene[scene[:, 0] > 0]
        cells = (real[:, 1:3] + real[:, 3:5]) // 2 // 8
        assert len({tuple(cell) for cell in cells}) == len(real)


def write_cifar(folder: Path) -> Array:
    """Write the six files of the binary version, 1,500 records each; return the records."""
    drawn = np.random.default_rng(0)
    records = drawn.integers(0, 256, (6, 1500, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
    for name, part in zip(names, records, strict=True):
        (folder / name).write_bytes(part.tobytes())
    return records


def test_cifar_is_read_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = write_cifar(tmp_path)
    monkeypatch.setenv(CIFAR_VARIABLE, str(tmp_path))
    test = network_data("resnet8-cifar10", "test")
    assert test["input"].shape == (1500, 3, 32, 32)
    assert np.array_equal(test["labels"], records[5, :, 0])
    # Pixel 1 of the green plane of the first image, by hand.
    expected = (records[5, 0, 1 + 1024 + 1] / 255 - 0.4822) / 0.2435
    assert test["input"][0, 1, 0, 1] == pytest.approx(expected, rel=1e-5)
    assert len(network_data("vgg8-cifar10", "train")["labels"]) == 7500 - 6000


def test_cifar_that_is_not_there_or_not_cifar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CIFAR_VARIABLE, raising=False)
    with pytest.raises(MissingError, match="set CIMC_CIFAR10"):
        task_data("cifar10", "test")
    path = tmp_path / "test_batch.bin"
    path.write_bytes(b"\x00" * 3000)
    with pytest.raises(ValueError, match="3000 bytes"):
        read_cifar([path])
    path.write_bytes(b"\x0a" * 3073)
    with pytest.raises(ValueError, match="label 10"):
        read_cifar([path])
