"""PP-OCRv4 text detection, orientation and recognition (rapidocr, Apache-2.0) on rendered lines.

The font is the one matplotlib brings, so nothing has to be installed for it.
"""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import onnx
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from tests.zoo import cache
from tests.zoo.task import Array, Run, Task, percent

HEIGHT, WIDTH = 48, 320
#: Without those that this font draws alike.
LETTERS = "abcdefghkmnpqrtuvwyABDEFGHLNQRT23456789"
Box = tuple[int, int, int, int]


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size)


def lines(count: int, seed: int) -> list[str]:
    """Return seeded lines of two or three words of letters and figures."""
    generator = np.random.default_rng(seed)
    letters = np.array(list(LETTERS))
    return [
        " ".join(
            "".join(generator.choice(letters, generator.integers(3, 7)))
            for _ in range(generator.integers(2, 4))
        )
        for _ in range(count)
    ]


def draw(line: str, width: int = WIDTH) -> npt.NDArray[np.uint8]:
    """Return a line as an image ``(48, width, 3)``, black on white, scaled to fit."""
    left, top, right, bottom = font(32).getbbox(line)
    image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 12), "white")
    ImageDraw.Draw(image).text((8 - left, 6 - top), line, "black", font(32))
    scaled = image.resize((min(width, round(image.width * HEIGHT / image.height)), HEIGHT))
    page = np.full((HEIGHT, width, 3), 255, np.uint8)
    page[:, : scaled.width] = np.asarray(scaled)
    return page


def prepared(images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Return BGR ``(n, 3, h, w)`` in [-1, 1]."""
    pixels = np.stack(images)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray((pixels / 255 - 0.5) / 0.5)


@functools.cache
def characters() -> tuple[str, ...]:
    """Return what each recognition class stands for; class 0 is CTC's blank."""
    metadata = onnx.load(cache.model("ppocr-rec.onnx"), load_external_data=False).metadata_props
    (known,) = (entry.value for entry in metadata if entry.key == "character")
    return ("", *known.splitlines(), " ")


def read(probabilities: Array) -> list[str]:
    """Return the text of each line ``(n, steps, classes)``: CTC's best path, margins removed."""
    text = []
    for row in probabilities.argmax(2):
        kept = row[np.concatenate([[True], row[1:] != row[:-1]])]
        text.append("".join(characters()[k] for k in kept).strip())
    return text


def recognized(run: Run) -> float:
    """Share of 200 lines read without a mistake [%]."""
    wanted = lines(200, seed=0)
    got: list[str] = []
    for start in range(0, len(wanted), 20):
        images = prepared([draw(line) for line in wanted[start : start + 20]])
        got += read(next(iter(run({"x": images}).values())))
    return percent(np.array([a == b for a, b in zip(got, wanted, strict=True)]))


def turned(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return lines ``(2 * count, 3, 48, 192)``, the second half upside down, and which are."""
    upright = [draw(line, 192) for line in lines(count, seed)]
    images = upright + [image[::-1, ::-1] for image in upright]
    return prepared(images), np.repeat(np.array([0, 1]), count)


def oriented(run: Run) -> float:
    """Share of 200 lines, half of them upside down, whose orientation is told right [%]."""
    images, wanted = turned(100, seed=3)
    return percent(next(iter(run({"x": images}).values())).argmax(1) == wanted)


def page(seed: int, rows: int = 8) -> tuple[npt.NDArray[np.float32], list[Box]]:
    """Return a page ``(1, 3, 320, 416)`` with one line a row and the box of each line."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (416, 320), "white")
    brush = ImageDraw.Draw(image)
    boxes = []
    for row, line in enumerate(lines(rows, seed)):
        place = (int(generator.integers(8, 120)), 10 + row * 38)
        brush.text(place, line, "black", font(16))
        left, top, right, bottom = brush.textbbox(place, line, font(16))
        boxes.append((int(left), int(top), int(right), int(bottom)))
    pixels = np.asarray(image)[..., ::-1].astype(np.float32) / 255
    pixels = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return pixels.transpose(2, 0, 1)[None].astype(np.float32), boxes


def is_found(box: Box, regions: list[tuple[slice, slice]]) -> bool:
    """Whether one region lies in the middle of the line and spans most of its width."""
    left, top, right, bottom = box
    for rows, columns in regions:
        width = min(right, columns.stop) - max(left, columns.start)
        middle = (rows.start + rows.stop) / 2
        if top < middle < bottom and width > 0.8 * (right - left):
            return True
    return False


def detected(run: Run) -> float:
    """Share of the 80 lines on ten pages that are found [%]."""
    found = []
    for seed in range(10):
        image, boxes = page(seed)
        likely = next(iter(run({"x": image}).values()))[0, 0] > 0.3
        regions = ndimage.find_objects(ndimage.label(likely)[0])
        found += [is_found(box, regions) for box in boxes]
    return percent(np.array(found))


RECOGNITION = Task(
    "ppocr-rec",
    "lines read right, 200",
    lambda: cache.model("ppocr-rec.onnx"),
    lambda: {"x": prepared([draw(line) for line in lines(2, seed=1)])},
    lambda: {"x": prepared([draw(line) for line in lines(32, seed=2)])},
    recognized,
    expected=97.0,
)
DETECTION = Task(
    "ppocr-det",
    "lines found, 80",
    lambda: cache.model("ppocr-det.onnx"),
    lambda: {"x": page(100)[0]},
    lambda: {"x": np.concatenate([page(seed)[0] for seed in range(200, 208)])},
    detected,
    expected=90.0,
)
ORIENTATION = Task(
    "ppocr-cls",
    "upright or not, 200 lines",
    lambda: cache.model("ppocr-cls.onnx"),
    lambda: {"x": turned(2, seed=1)[0]},
    lambda: {"x": turned(32, seed=2)[0]},
    oriented,
    expected=85.0,
)
