"""What remapping did to each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cimc.ir.network import Network


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer.

    Attributes:
        layer: Its name.
        cells: Cells it has [-].
        faulty_cells: Of these, stuck ones, where the layer lies now [-].
        affected_weights: Weights with a faulty cell [-].
        remapped_weights: Weights that hold another value than without this chip's faults [-].
        unreachable_weights: Weights whose value without faults their cells cannot reach: the
            nearest they can is farther away than half the way to the next level [-].
        output_error_before: Error of the outputs with the faults ignored, as a share of their
            energy: ``tr(E' H E) / tr(W' H W)``, E the error of the weights, W the weights wanted
            and H the second moments of the inputs as they are on this chip (about their mean
            where the mean is corrected digitally); None without calibration data.
        output_error_after: The same of the cells as remapped.
        energy: ``tr(W' H W)``, what the errors are shares of; 0 without data.
    """

    layer: str
    cells: int
    faulty_cells: int
    affected_weights: int
    remapped_weights: int
    unreachable_weights: int
    output_error_before: float | None = None
    output_error_after: float | None = None
    energy: float = 0.0


@dataclass(frozen=True, slots=True)
class RemapResult:
    """A network whose cells are those of one chip.

    Attributes:
        network: With cells, maps of word lines and bit lines, arrays and constants of the chip.
        layers: What was done, layer by layer.
    """

    network: Network
    layers: tuple[LayerReport, ...]


def total_error(layers: Sequence[LayerReport], *, before: bool) -> float | None:
    """Return the mean of the layers' output errors, every layer alike; None without data.

    Layers whose outputs have no energy in the calibration data say nothing and are left out.
    """
    errors = [
        error
        for layer in layers
        if layer.energy > 0
        and (error := layer.output_error_before if before else layer.output_error_after)
        is not None
    ]
    return sum(errors) / len(errors) if errors else None
