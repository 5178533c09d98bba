"""Derive from the fetched files what people use: ``python -m tests.zoo.prepare [NAME ...]``.

Exports the torch networks to ``models/*.onnx`` and writes ``data/*.npz`` as the command line reads
them: one array an input, first axis the samples, and ``labels``.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.zoo import cache, digits, faces, fashion, phonemes, pitch, resnet8, speech, text
from tests.zoo.fetch import place
from tests.zoo.task import Array


def write_npz(name: str, arrays: dict[str, Array]) -> None:
    """Write ``data/<name>.npz`` unless it is there."""
    path = cache.DATA / f"{name}.npz"
    if not path.is_file():
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        place(buffer.getvalue(), path)


def prepare_digits() -> None:
    """The 5,000 digits with labels, and 256 of them to calibrate on."""
    images, labels = digits.digits()
    write_npz("digits", {digits.INPUT: images, "labels": labels})
    write_npz("digits-calibration", digits.calibration())


def prepare_fashion() -> None:
    """Fashion-MNIST: the test images with labels, 512 training images to calibrate on."""
    images, labels = fashion.fashion("t10k")
    write_npz("fashion-test", {"image": images, "labels": labels})
    write_npz("fashion-calibration", resnet8.calibration())
    folder = fashion.FOLDER
    pixels = fashion.read_idx(folder / "train-images-idx3-ubyte.gz")
    classes = fashion.read_idx(folder / "train-labels-idx1-ubyte.gz")
    write_npz("fashion-train", {"pixels": pixels, "labels": classes})


def prepare_text() -> None:
    """Rendered lines of text, what they say, and others to calibrate on."""
    wanted = text.lines(200, seed=0)
    write_npz("lines", {"x": text.prepared([text.draw(line) for line in wanted])})
    place(json.dumps(wanted).encode(), cache.DATA / "lines.json")
    write_npz("lines-calibration", text.RECOGNITION.calibration())


def prepare_networks() -> None:
    """The torch networks as ONNX."""
    for name in faces.NETWORKS:
        faces.model(name)
    phonemes.model()
    pitch.model()


STEPS: dict[str, Callable[[], Any]] = {
    "digits": prepare_digits,
    "fashion": prepare_fashion,
    "text": prepare_text,
    "speech": speech.sound,
    "networks": prepare_networks,
}


def main(names: list[str]) -> int:
    """Run the named steps, or all; a step whose files are missing says so and is skipped."""
    warnings.simplefilter("ignore")  # the exporter's, about itself
    for name, step in STEPS.items():
        if names and name not in names:
            continue
        try:
            step()
        except cache.MissingError as reason:
            sys.stderr.write(f"{name}: skipped: {reason}\n")
        else:
            sys.stderr.write(f"{name}: ready\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
