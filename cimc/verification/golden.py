"""Check a program against its own bring-up vectors: no model and no data needed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from cimc.errors import UsageError
from cimc.program.model import DeviceProgram, Golden
from cimc.verification.chips import Drawn, draw_chips, varies
from cimc.verification.effects import Selection
from cimc.verification.metrics import snr_db
from cimc.verification.options import Options, Progress
from cimc.verification.per_layer import LayerSnr, layer_operations, tapped
from cimc.verification.report import Findings, VerifyReport, make_report
from cimc.verification.scoring import Baseline, ExecutorFactory, score

Array = npt.NDArray[Any]

#: Golden vectors count as reproduced above this [dB]: float32 sums of another order on another
#: machine may move single ADC codes, a wrong cell moves far more.
REPRODUCED_DB = 40.0

_OTHER_FAULTS = (
    "the golden vectors were made without this fault map: figures are distances from them, and "
    "nothing is checked; give samples with --data"
)


def inputs_of(program: DeviceProgram) -> Mapping[str, Array]:
    """Return the golden inputs; empty without golden vectors."""
    return {} if program.golden is None else program.golden.inputs


def verify_golden(
    program: DeviceProgram,
    options: Options,
    selection: Selection,
    factory: ExecutorFactory,
    progress: Progress,
    *,
    other_faults: bool = False,
) -> VerifyReport:
    """Check that noise-free mode reproduces the golden vectors, and how far chips are from them.

    Args:
        program: What to check.
        options: What is asked for.
        selection: What chips have.
        factory: Makes the runners.
        progress: Told how far the work is.
        other_faults: The program is run with other faults than the vectors were made with: then
            they need not be reproduced, and say only how far chips are from them.

    Raises:
        UsageError: CIMC-U03, an accuracy gate without data; CIMC-U04, no golden vectors.
    """
    vectors = _vectors(program)
    if options.gated:
        raise UsageError(
            "CIMC-U03",
            "golden vectors are too few for an accuracy",
            where="--min-accuracy or --max-drop",
            hint="--data X.npz, and --reference MODEL.onnx for a drop",
        )
    started = time.perf_counter()
    runners = {
        mode: factory(program, mode, options.seed) for mode in ("ideal", "noise-free", "chip")
    }
    feeds = [dict(vectors.inputs)]
    baseline = Baseline(vectors.outputs, next(iter(vectors.outputs), ""), None, None, None)
    ideal = score(runners["ideal"], feeds, baseline)
    noise_free = score(runners["noise-free"], feeds, baseline)
    taps = {mode: tapped(runner, feeds) for mode, runner in runners.items()}
    warnings: tuple[str, ...] = (_OTHER_FAULTS,)
    if not other_faults:
        warnings = _not_reproduced(vectors, noise_free.snr_db, taps["noise-free"])
    if options.mode == "ideal":
        drawn = Drawn.single(ideal, baseline, None)
    else:
        drawn = draw_chips(
            runners["chip"],
            feeds,
            baseline,
            options,
            None,
            random=varies(program, options, selection),
            progress=progress,
        )
    sources = layer_operations(program)
    layers = tuple(
        LayerSnr(
            name,
            sources.get(name, ""),
            *(snr_db(wanted, taps[mode][name]) for mode in ("ideal", "noise-free", "chip")),
        )
        for name, wanted in vectors.layers.items()
        if all(name in t and t[name].shape == wanted.shape for t in taps.values())
    )
    findings = Findings(
        metric="snr_db",
        baseline="golden",
        reference=None,
        ideal=ideal.snr_db,
        noise_free=noise_free.snr_db,
        samples=max((len(a) for a in vectors.inputs.values() if a.ndim), default=1),
        layers=layers,
        seconds=time.perf_counter() - started,
        warnings=warnings,
        sound=other_faults or not warnings,
    )
    return make_report(options, selection, None, drawn, findings)


def _vectors(program: DeviceProgram) -> Golden:
    if program.golden is None:
        raise UsageError(
            "CIMC-U04",
            "the program holds no golden vectors to check",
            hint="giving samples with --data, and the original model with --reference",
        )
    return program.golden


def _not_reproduced(
    vectors: Golden, outputs_db: float, taps: Mapping[str, Array]
) -> tuple[str, ...]:
    """Return one line for everything noise-free mode does not reproduce."""
    lines = []
    if outputs_db < REPRODUCED_DB:
        lines.append(f"golden outputs are not reproduced: {outputs_db:.1f} dB")
    for name, wanted in vectors.layers.items():
        value = taps.get(name)
        if value is None or value.shape != wanted.shape:
            lines.append(f"golden layer '{name}' is not computed")
        elif (ratio := snr_db(wanted, value)) < REPRODUCED_DB:
            lines.append(f"golden layer '{name}' is not reproduced: {ratio:.1f} dB")
    return tuple(lines)
