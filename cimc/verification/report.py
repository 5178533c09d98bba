"""What a verification found, in stable names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cimc.program.measured import Readback
from cimc.verification.chips import Drawn
from cimc.verification.effects import Selection
from cimc.verification.gates import Decision, Gate
from cimc.verification.measured_chips import sources_of
from cimc.verification.options import Options
from cimc.verification.per_layer import LayerSnr
from cimc.verification.scoring import Metric


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Result of :func:`cimc.verification.verify`; :meth:`to_json` has the same names.

    Figures in units of ``metric``: shares in [0, 1] for ``top1`` and ``agreement``, dB for
    ``snr_db``.  None where a figure is not defined.

    Attributes:
        metric: ``top1`` with labels, ``agreement`` of decisions without, ``snr_db`` for outputs
            that name no classes.
        baseline: What agreement and signal-to-noise refer to: ``float`` (the original model in
            onnxruntime), ``ideal`` (the program itself, when no reference was given), or
            ``golden`` (the program's own vectors).
        reference: The float network's figure.
        ideal: Cells exactly at their targets, exact arithmetic.
        noise_free: Ideal plus converters.
        mean: Over chips.
        std: Standard deviation over chips; None for fewer than two.
        min: Worst chip.
        max: Best chip.
        ci_low: Lower bound of the mean, or of the quantile, over chips.
        ci_high: Upper bound.
        confidence: Coverage of the interval, whenever sampling stopped.
        interval: How it was found, see :class:`cimc.verification.intervals.Interval`.
        quantile: The chip quantile the interval is of; None: the mean.
        quantile_value: That quantile over the chips drawn.
        chips: Chips drawn; fewer than asked for when the gate was decided early.
        samples: Samples each chip ran.
        agreement: Mean share of decisions equal to the baseline's.
        snr_db: Signal-to-noise of the outputs against the baseline, mean over chips [dB].
        per_layer_snr_db: Of the first chip, by operation name [dB].
        per_layer: The same in ideal, noise-free and chip mode.
        threshold: What the lower bound has to reach; None without a gate.
        decision: Of the gate; None without one.
        passed: No gate failed or stayed undecided, and golden vectors were reproduced.
        values: The metric of each chip; chip ``i`` is seeded ``seed + i``.
        seed: Seed of the first chip.
        worst_chip: Seed of the worst chip.
        effects: Non-idealities the chips had; none in ideal mode.
        effects_not_described: Those that were named but that the target does not describe.
        at_s: Time after programming at which the chips were evaluated [s].
        chip: Id of the chip whose fault map the program was run with; None: it had none.
        measured: Read-backs whose conductances the chips had, in their order; none: simulated.
        seconds: Wall time [s].
        warnings: What the user should know.
    """

    metric: Metric
    baseline: str
    reference: float | None
    ideal: float | None
    noise_free: float | None
    mean: float
    std: float | None
    min: float
    max: float
    ci_low: float | None
    ci_high: float | None
    confidence: float
    interval: str
    quantile: float | None
    quantile_value: float | None
    chips: int
    samples: int
    agreement: float | None
    snr_db: float
    per_layer: tuple[LayerSnr, ...]
    threshold: float | None
    decision: Decision | None
    passed: bool
    values: tuple[float, ...]
    seed: int
    worst_chip: int
    seconds: float
    warnings: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    effects_not_described: tuple[str, ...] = ()
    at_s: float = 0.0
    measured: tuple[str, ...] = ()
    chip: str | None = None

    @property
    def per_layer_snr_db(self) -> dict[str, float]:
        """Signal-to-noise of each crossbar read on the first chip [dB]."""
        return {layer.operation: layer.chip_db for layer in self.per_layer}

    def to_json(self) -> dict[str, Any]:
        """Return plain data: no NaN or infinity (None instead)."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["per_layer"] = [
            {f.name: getattr(layer, f.name) for f in fields(layer)} for layer in self.per_layer
        ]
        plain["per_layer_snr_db"] = self.per_layer_snr_db
        cleaned: dict[str, Any] = finite(plain)
        return cleaned


@dataclass(frozen=True, slots=True)
class Findings:
    """What a verification knows beside the chips; names as in :class:`VerifyReport`.

    Attributes:
        metric: What is reported.
        baseline: What it is measured against.
        reference: Figure of the float network.
        ideal: Figure of the ideal program.
        noise_free: Figure of the noise-free program.
        samples: Samples run.
        layers: Per-layer figures.
        seconds: Wall time [s].
        warnings: What the user should know.
        sound: Whatever was checked beside the gate held.
    """

    metric: Metric
    baseline: str
    reference: float | None
    ideal: float | None
    noise_free: float | None
    samples: int
    layers: tuple[LayerSnr, ...]
    seconds: float
    warnings: tuple[str, ...]
    sound: bool = True


def make_report(
    options: Options,
    selection: Selection,
    gate: Gate | None,
    drawn: Drawn,
    findings: Findings,
) -> VerifyReport:
    """Put together the report of a verification."""
    values = np.array(drawn.values, dtype=np.float64)
    agreements = [s.agreement for s in drawn.scores if s.agreement is not None]
    ratios = [s.snr_db for s in drawn.scores]
    passed = findings.sound and (gate is None or drawn.decision == "passed")
    regular = len(values) > 1 and bool(np.isfinite(values).all())
    quantile = options.quantile
    return VerifyReport(
        metric=findings.metric,
        baseline=findings.baseline,
        reference=findings.reference,
        ideal=findings.ideal,
        noise_free=findings.noise_free,
        mean=math.fsum(drawn.values) / len(drawn.values),
        std=float(values.std(ddof=1)) if regular else None,
        min=min(drawn.values),
        max=max(drawn.values),
        ci_low=drawn.interval.low,
        ci_high=drawn.interval.high,
        confidence=options.confidence,
        interval=drawn.interval.method,
        quantile=quantile,
        quantile_value=(
            None
            if quantile is None
            else float(np.quantile(values, quantile, method="inverted_cdf"))
        ),
        chips=len(drawn.values),
        samples=findings.samples,
        agreement=math.fsum(agreements) / len(agreements) if agreements else None,
        snr_db=math.fsum(ratios) / len(ratios),
        per_layer=findings.layers,
        threshold=None if gate is None else gate.threshold,
        decision=None if gate is None else drawn.decision,
        passed=passed,
        values=drawn.values,
        seed=options.seed,
        worst_chip=options.seed + int(values.argmin()),
        seconds=findings.seconds,
        warnings=findings.warnings + drawn.warnings,
        effects=() if options.mode == "ideal" else selection.effects,
        effects_not_described=selection.absent,
        at_s=selection.at_s,
        measured=tuple(
            s.name if isinstance(s, Readback) else str(s) for s in sources_of(options.measured)
        ),
    )


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return float(np.quantile(values, quantile, method="inverted_cdf"))


def finite(value: Any) -> Any:
    """Return plain data with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
