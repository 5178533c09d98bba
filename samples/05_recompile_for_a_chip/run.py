"""Compile mnist-conv once, then for chips with more and more stuck cells; compare."""

from pathlib import Path

import numpy as np

import cimc
from cimc.faults import laid_over, sample
from cimc.pipeline.recompile import Recompiler

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def main() -> None:
    """Compile, recompile, run."""
    with np.load(CACHE / "data" / "digits.npz") as file:
        images, labels = file["Input3"][:2000], file["labels"][:2000]
    program = cimc.compile(
        CACHE / "models" / "mnist-conv.onnx",
        target="rram",
        levels=8,
        data=CACHE / "data" / "digits-calibration.npz",
    )

    def right(chip: object) -> str:
        outputs = cimc.run(chip, {"Input3": images}, mode="ideal")
        return f"{np.mean(next(iter(outputs.values())).argmax(1) == labels):.4f}"

    print(f"no faults    {right(program)}")

    # What chips share is done once; the model file is not needed for any of this.
    feedback = Recompiler(program)
    nearest = Recompiler(program, method="nearest")
    print("stuck cells  ignored  nearest  recompiled")
    for percent in (5, 10, 20, 30):
        faults = sample(program, rate=percent / 100, seed=percent)
        ignored, _ = laid_over(program, faults)
        found = [right(p) for p in (ignored, nearest.for_chip(faults).program)]
        done = feedback.for_chip(faults)
        print(f"{percent:2d} in 100    {'   '.join([*found, right(done.program)])}")
    report = done.report
    print(f"output error {report.output_error_before:.3f} before")
    print(f"output error {report.output_error_after:.3f} after")


if __name__ == "__main__":
    main()
