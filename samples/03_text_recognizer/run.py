"""Compile a published text recognizer (PP-OCRv4) and read lines of text on a simulated chip."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

import cimc

CACHE = Path(__file__).resolve().parents[2] / ".cache"
LINES = 40


def characters(model: Path) -> list[str]:
    """Return what each class stands for, as the model's metadata says; class 0 is CTC's blank."""
    properties = onnx.load(model, load_external_data=False).metadata_props
    known = next(entry.value for entry in properties if entry.key == "character")
    return ["", *known.splitlines(), " "]


def decode(probabilities: npt.NDArray[np.float32], known: list[str]) -> list[str]:
    """Return the text of each line ``(n, steps, classes)``: equal neighbours merged, no blanks."""
    lines = []
    for best in probabilities.argmax(2):
        merged = best[np.flatnonzero(np.diff(best, prepend=-1))]
        lines.append("".join(known[k] for k in merged).strip())
    return lines


def main() -> None:
    """Compile, then read the same lines exactly, through converters, and on one chip."""
    model = CACHE / "models" / "ppocr-rec.onnx"
    # The convolutions stay digital: forty layers of noise, one after the other, are too much for
    # a network that was not trained for it.  The transformer and the character head are analog.
    program = cimc.compile(
        model,
        target="rram",
        levels=16,
        digital=["conv2d_*"],
        data=CACHE / "data" / "lines-calibration.npz",
    )
    weights = sum(layer.cells.planes[0].numel() for layer in program.layers.values())
    print(f"{len(program.layers)} analog layers, {weights} weights on {program.arrays} arrays")

    known = characters(model)
    wanted = json.loads((CACHE / "data" / "lines.json").read_text())[:LINES]
    with np.load(CACHE / "data" / "lines.npz") as file:
        images = file["x"][:LINES]
    for mode in ("ideal", "noise-free", "chip"):
        (output,) = cimc.run(program, {"x": images}, mode=mode, seed=1, batch=8).values()
        got = decode(output, known)
        right = sum(a == b for a, b in zip(got, wanted, strict=True))
        print(f"{mode:10} {right} of {LINES} lines right; the first reads {got[0]!r}")


if __name__ == "__main__":
    main()
