"""What a compilation tells the user."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cimc.program.model import DeviceProgram

if TYPE_CHECKING:
    from cimc.training.weights_back import SourceWeights  # reads models: programs alone need not


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass of a compilation.

    Attributes:
        name: Of the pass.
        seconds: Wall-clock time [s].
        snr_db: With ``check``: outputs against onnxruntime on sample inputs [dB]; else None.
        layers_snr_db: With ``check``: the same for the output of each operation that reads a
            layer, against the float network.
    """

    name: str
    seconds: float
    snr_db: float | None = None
    layers_snr_db: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConverterReport:
    """Converters where one operation reads one layer.

    Attributes:
        layer: Name of the layer.
        operation: Operation that reads it.
        input_method: How the DAC's range was found: ``max``, ``percentile``, ``mse``, ``search``;
            ``dynamic``: found at run time for each sample; None: no DAC.
        adc_method: Likewise for the ADC; ``full-scale``: the target's choice; ``weights``: from
            the weights, for want of data; None: no ADC.
        x_max: Full scale of the DAC, in units of the input; None: dynamic, or no DAC.
        adc_range_us: Least and greatest full scale of the ADCs [uS]; None: no ADC.
        inputs_clipped: Share of the calibration inputs beyond the DAC's range; None without data.
        conversions_clipped: Share of the conversions beyond the ADC's range; None likewise.
        snr_db: Output of the layer against the error of its converters [dB]; None likewise.
    """

    layer: str
    operation: str
    input_method: str | None
    adc_method: str | None
    x_max: float | None
    adc_range_us: tuple[float, float] | None
    inputs_clipped: float | None
    conversions_clipped: float | None
    snr_db: float | None


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What fine-tuning did.

    Attributes:
        epochs: Passes over the training data [-].
        steps: Updates of the weights [-].
        loss: What was minimized, in words.
        loss_first: Mean of the first epoch.
        loss_last: Mean of the last epoch.
        metric: What the validation's figures are: ``top1``, ``agreement`` with the float network,
            or ``loss``; None without validation.
        validation_before: Mean over chips before training, on samples held out; None without.
        validation_after: The same of the network that was kept.
        kept_epoch: Epoch whose network the program is; 0: none was better than what was compiled.
        chips: Chips of a validation; 0: there is none, or it is without noise [-].
        samples: Training samples, those held out included [-].
        seconds: Time of the epochs, those before an interrupt included [s].
        checkpoint: Directory of checkpoints that is kept; None: none is.
        resumed: Whether training went on from a checkpoint.
        calibrates: Whether training samples stood for calibration data.
        untrained: Crossbar layers no gradient reaches.
        saved_weights: File the float weights were written to; None: none.
    """

    epochs: int
    steps: int
    loss: str
    loss_first: float
    loss_last: float
    metric: str | None
    validation_before: float | None
    validation_after: float | None
    kept_epoch: int
    chips: int
    samples: int
    seconds: float
    checkpoint: str | None
    resumed: bool
    calibrates: bool
    untrained: tuple[str, ...] = ()
    saved_weights: str | None = None


@dataclass(frozen=True, slots=True)
class CompileReport:
    """The JSON keys of ``cimc compile``.

    Attributes:
        program: Where it was written; None when it was not.
        sha256: Of the program; None when it was not written.
        layers: Weight-carrying layers of the network, analog and digital.
        analog_layers: Layers on crossbars.
        digital_ops: Operations done digitally.
        opaque_ops: Of these, run by onnxruntime.
        weights: Weights of all layers.
        analog_weights: Weights on crossbars.
        arrays: Arrays used.
        array_rows: Word lines of an array; None: unlimited.
        array_columns: Bit lines of an array; None: unlimited.
        cell_utilization: Cells used over cells of the used arrays.
        seconds: Wall-clock time [s].
        peak_rss_mib: Largest resident set of the process so far [MiB].
        warnings: What the user should know.
        import_error: Largest relative difference of the imported network from onnxruntime; None
            when there were no inputs to try.
        snr_db: The noise-free program against onnxruntime on sample inputs [dB]; None likewise.
        passes: Every pass in order.
        converters: Every use of a layer that has converters.
        training: Of the fine-tuning; None: the network was not trained.
    """

    program: str | None
    sha256: str | None
    layers: int
    analog_layers: int
    digital_ops: int
    opaque_ops: int
    weights: int
    analog_weights: int
    arrays: int
    array_rows: int | None
    array_columns: int | None
    cell_utilization: float
    seconds: float
    peak_rss_mib: float
    warnings: tuple[str, ...]
    import_error: float | None
    snr_db: float | None
    passes: tuple[PassReport, ...]
    converters: tuple[ConverterReport, ...] = ()
    training: TrainingReport | None = None


@dataclass(frozen=True, slots=True)
class CompileResult:
    """A device program and what there is to say of its making.

    Attributes:
        program: The program.
        report: What there is to say.
        weights: The trained weights by their names in the model; None where nothing was trained.
    """

    program: DeviceProgram
    report: CompileReport
    weights: SourceWeights | None = None


def peak_rss_mib() -> float:
    """Return the largest resident set of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
