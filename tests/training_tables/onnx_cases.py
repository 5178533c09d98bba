"""Networks that arrived as ONNX, and what they are fine-tuned and tested on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cimc.training.scores import IGNORED
from tests.zoo import digits, phonemes, text
from tests.zoo.cache import CACHE
from tests.zoo.task import Array, reference

FOLDER: Final = CACHE / "training" / "onnx"
Inputs = Mapping[str, Array]
#: Outputs of a run of some of the test samples, and which: how many of each are right, and of
#: how many.
Judge = Callable[[Array, slice], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Case:
    """One network and its data; nothing it is tested on is trained or calibrated on.

    Attributes:
        name: Of the network.
        metric: What ``judge`` counts, for the table.
        model: Path of the ONNX file.
        calibration: Inputs.
        train: Inputs, with labels or without.
        test: Inputs.
        output: Name of the output judged.
        judge: Counts what is right.
        training: Section ``training`` of the recipe.
        about: The training, for the table.
        shared: Each chip is given its own twentieth of the test samples; else all.
        batch: Samples run at once [-].
        seeds: Fine-tunings.
    """

    name: str
    metric: str
    model: Callable[[], Path]
    calibration: Callable[[], Inputs]
    train: Callable[[], Inputs]
    test: Callable[[], Inputs]
    output: str
    judge: Judge
    training: Mapping[str, Any]
    about: str
    shared: bool = False
    batch: int = 250
    seeds: tuple[int, ...] = (0, 1, 2)

    def key(self, seed: int) -> Path:
        """Return where the result of a fine-tuning is kept."""
        what = json.dumps([self.name, dict(self.training), self.about, self.shared, seed])
        return FOLDER / f"{self.name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"


@functools.cache
def _digit_data() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    return digits.digits()


def _digits_right(outputs: Array, part: slice) -> tuple[float, float]:
    labels = _digit_data()[1][:2_000][part]
    return float((outputs.argmax(1) == labels).sum()), len(labels)


def _digit_training() -> Inputs:
    images, labels = _digit_data()
    return {digits.INPUT: images[2_000:4_744], "labels": labels[2_000:4_744]}


DIGITS = Case(
    "mnist-conv",
    "top-1, 2,000 digits",
    lambda: digits.DIGITS.model(),
    digits.calibration,
    _digit_training,
    lambda: {digits.INPUT: _digit_data()[0][:2_000]},
    digits.OUTPUT,
    _digits_right,
    {"epochs": 8, "batch": 64, "learning_rate": 1e-2, "rates": "relative", "validation": 0.0},
    "2,744 digits with labels, 8 epochs",
)


DISTILLED = replace(
    DIGITS,
    train=lambda: {digits.INPUT: _digit_data()[0][2_000:4_744]},
    # Scores of this network are thousands: softened as much.
    training={**DIGITS.training, "loss": "distillation", "temperature": 1_000.0},
    about="the same digits by distillation, 8 epochs",
)


def _trained_words() -> list[str]:
    kept = {*phonemes.words(phonemes.WORDS, 0), *phonemes.words(256, 2)}
    return [word for word in phonemes.words(3_000, 3) if word not in kept][:2_000]


def _spoken_words() -> Inputs:
    """Return words with what the float network says, up to the stop sign; nothing after it."""
    inputs = phonemes.inputs(_trained_words())
    answers = reference(phonemes.model())(inputs)["logits"].argmax(2)
    ended = np.cumsum(answers == phonemes.STOP, axis=1) - (answers == phonemes.STOP)
    return {**inputs, "labels": np.where(ended > 0, IGNORED, answers)}


def _words_right(outputs: Array, part: slice) -> tuple[float, float]:
    chosen, known = phonemes.words(phonemes.WORDS, 0)[part], phonemes.dictionary()
    said = phonemes.say(outputs)
    return float(sum(p in known[w] for w, p in zip(chosen, said, strict=True))), len(chosen)


WORDS = Case(
    "g2p",
    "words right, 1,000 (GRU)",
    phonemes.model,
    lambda: phonemes.inputs(phonemes.words(256, seed=2)),
    _spoken_words,
    lambda: phonemes.inputs(phonemes.words(phonemes.WORDS, seed=0)),
    "logits",
    _words_right,
    {
        "epochs": 3,
        "batch": 32,
        "learning_rate": 3e-3,
        "rates": "relative",
        # Levels fitted again would undo the codes that calibration chose, column by column.
        "threshold": 1e6,
        "validation": 0.0,
    },
    "2,000 other words with the float network's answers, 3 epochs",
    shared=True,
)

#: Width of a line, and of a word to train on: steps are affordable on two cores [pixel].
LINE, WORD = 320, 160


def _line_images(count: int, seed: int) -> Inputs:
    return {"x": text.prepared([text.draw(line, LINE) for line in text.lines(count, seed)])}


def _trained_text(count: int) -> Inputs:
    kept = {w for line in text.lines(100, 0) + text.lines(16, 2) for w in line.split()}
    words = [w for line in text.lines(count, 1_000) for w in line.split() if w not in kept]
    return {"x": text.prepared([text.draw(word, WORD) for word in words[:count]])}


def edits(a: str, b: str) -> int:
    """Return how many letters are to be put in, taken out or changed to make one the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def _letters_right(outputs: Array, part: slice) -> tuple[float, float]:
    wanted = text.lines(100, 0)[part]
    wrong = [min(len(b), edits(a, b)) for a, b in zip(text.read(outputs), wanted, strict=True)]
    total = sum(map(len, wanted))
    return total - sum(wrong), total


LINES = Case(
    "ppocr-rec",
    "characters right, 100 rendered lines",
    lambda: text.RECOGNITION.model(),
    lambda: _line_images(16, 2),
    lambda: _trained_text(200),
    lambda: _line_images(100, 0),
    "softmax_11.tmp_0",
    _letters_right,
    {
        "epochs": 2,
        "batch": 8,
        "learning_rate": 5e-3,
        "rates": "relative",
        "threshold": 1e6,
        "layer_weight": 1.0,
        "validation": 0.0,
    },
    "200 other words by distillation (outputs and layers), 2 epochs",
    shared=True,
    batch=10,
    seeds=(0,),
)

CASES: Final = {
    "mnist-conv": DIGITS,
    "mnist-conv-distilled": DISTILLED,
    "g2p": WORDS,
    "ppocr-rec": LINES,
}
