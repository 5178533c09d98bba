"""Compile an ONNX digit classifier for an RRAM chip and say what accuracy chips will have."""

from pathlib import Path

import cimc

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def main() -> None:
    """Compile, write, load, verify."""
    model = CACHE / "models" / "mnist-conv.onnx"
    path = CACHE / "samples" / "digits.cim"
    path.parent.mkdir(parents=True, exist_ok=True)

    # Eight conductance levels a weight; the calibration digits fit levels and converter ranges.
    cimc.compile(
        model,
        target="rram",
        levels=8,
        data=CACHE / "data" / "digits-calibration.npz",
        output=path,
    )
    program = cimc.load(path)
    cells = 2 * sum(layer.cells.planes[0].numel() for layer in program.layers.values())
    print(f"{len(program.layers)} layers, {cells} cells on {program.arrays} array(s)")

    # Each chip has its own programming errors; the interval is over chips.
    report = cimc.verify(
        program, reference=model, data=CACHE / "data" / "digits.npz", chips=10, confidence=0.95
    )
    print(f"float network           {report.reference:.4f}")
    print(f"levels only (ideal)     {report.ideal:.4f}")
    print(f"with converters         {report.noise_free:.4f}")
    print(f"mean of {report.chips} chips        {report.mean:.4f}")
    print(f"with 95 % confidence at least {report.ci_low:.4f}")


if __name__ == "__main__":
    main()
