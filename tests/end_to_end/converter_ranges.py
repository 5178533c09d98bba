"""Ways to find converter ranges: ``python -m tests.end_to_end.converter_ranges --write``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cimc.executor import Executor
from cimc.frontends.dispatch import import_model
from cimc.ir.layer import Fitted
from cimc.ir.network import Network
from cimc.lowering.emit import emit
from cimc.passbase import PassContext
from cimc.passes.fit_converters import FitConverters
from cimc.pipeline import samples
from cimc.pipeline.options import Options
from cimc.targets import load_target
from tests.end_to_end.tables import oracle
from tests.zoo.results import table_row, write_table
from tests.zoo.task import Array, Task
from tests.zoo.tasks import TASKS

NETWORKS = ("mnist-conv", "resnet8-fashion", "silero-vad", "ppocr-cls")
BITS = (8, 6)
PASSES = {
    "max": FitConverters("max", "max"),
    "percentile 99.9": FitConverters("percentile", "percentile", 99.9),
    "percentile 99.99": FitConverters("percentile", "percentile", 99.99),
    "mse": FitConverters("mse", "mse"),
    "search": FitConverters("search", "search"),
}
NO_DATA = "no data"


class Scored:
    """Scores programs on a task, and compares their outputs with the float network's."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._expected: list[Mapping[str, Array]] = []
        run = oracle(task)

        def keep(inputs: Mapping[str, Array]) -> dict[str, Array]:
            outputs = run(inputs)
            self._expected.append(outputs)
            return outputs

        self.float_score = task.score(keep)

    def of(self, network: Network, context: PassContext) -> tuple[float, float]:
        """Return the noise-free task metric [%] and signal-to-noise of the first output [dB]."""
        executor = Executor(emit(network, context.target, {}), mode="noise-free")
        expected = iter(self._expected)
        signal = noise = 0.0

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            nonlocal signal, noise
            got = dict(executor.run(inputs).outputs)
            name, wanted = next(iter(next(expected).items()))
            exact = wanted.astype(np.float64)
            signal += float(np.square(exact).sum())
            noise += float(np.square(got[name] - exact).sum())
            return got

        score = self._task.score(run)
        return score, 10 * float(np.log10(signal / noise))


def lowered(task: Task, bits: int, *, data: bool) -> tuple[Network, PassContext]:
    """Return the network of a task up to the pass that sets converter ranges."""
    target = load_target("rram").changed({"adc.bits": bits, "read.dac_bits": bits})
    network = import_model(
        task.model(), example_inputs=None, dynamic_shapes=None, trust_input=False
    )
    calibration = samples.calibration(task.calibration(), network) if data else None
    context = PassContext(target, calibration)
    for step in Options.gather(None, levels=16).passes(target)[:-1]:
        network = step.run(network, context)
    return network, context


def rows_of(task: Task) -> Iterator[tuple[str, ...]]:
    """Yield the rows of one network."""
    scored = Scored(task)
    for bits in BITS:
        network, context = lowered(task, bits, data=True)
        for name, fit in PASSES.items():
            yield _row(task, bits, name, scored, fit.run(network, context), context)
        network, context = lowered(task, bits, data=False)
        yield _row(task, bits, NO_DATA, scored, FitConverters().run(network, context), context)


def _row(
    task: Task, bits: int, name: str, scored: Scored, network: Network, context: PassContext
) -> tuple[str, ...]:
    score, snr = scored.of(network, context)
    fitted = [use.fitted for layer in network.layers.values() for use in layer.uses]
    return (
        task.name,
        str(bits),
        name,
        f"{scored.float_score:.2f}",
        f"{score:.2f}",
        f"{snr:.1f}",
        *_layers([f for f in fitted if f is not None]),
    )


def _layers(fitted: list[Fitted]) -> tuple[str, ...]:
    """Return mean and least signal-to-noise of layers, and the mean of what they clip."""
    ratios = [f.snr_db for f in fitted if f.snr_db is not None]
    if not ratios:
        return ("-",) * 4
    inputs = np.mean([f.inputs_clipped or 0.0 for f in fitted])
    conversions = np.mean([f.conversions_clipped or 0.0 for f in fitted])
    return (
        f"{np.mean(ratios):.1f}",
        f"{min(ratios):.1f}",
        f"{100 * inputs:.3f}",
        f"{100 * conversions:.3f}",
    )


def means(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return a row of means over networks for each number of bits and method."""
    found = []
    for bits, name in dict.fromkeys(row[1:3] for row in rows):
        same = [row for row in rows if row[1:3] == (bits, name)]
        columns = [[row[k] for row in same] for k in range(3, len(same[0]))]
        shown = ["-" if "-" in c else f"{np.mean([float(v) for v in c]):.2f}" for c in columns]
        found.append(("mean", bits, name, *shown))
    return found


def main() -> int:
    """Measure all networks."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.converter_ranges")
    parser.add_argument("--only", choices=NETWORKS)
    parser.add_argument("--write", action="store_true", help="write docs/results")
    given = parser.parse_args()
    rows = []
    for task in TASKS:
        if task.name in NETWORKS and given.only in (None, task.name):
            for row in rows_of(task):
                sys.stdout.write(table_row(row) + "\n")
                sys.stdout.flush()
                rows.append(row)
    rows += means(rows)
    if given.write:
        header = ("network", "bits", "ranges", "float [%]", "noise-free [%]", "SNR [dB]")
        header += ("layers, mean [dB]", "worst [dB]", "inputs clipped [%]", "conversions [%]")
        note = (
            "`rram` with 16 Lloyd levels a column, DAC and ADC of so many bits. SNR is that of "
            "the network's first output against the float network, on all that is scored, error "
            "of the weights included; that of layers is of the converters alone, on sampled "
            "calibration inputs; clipping is the mean over layers. `search` is the default: the "
            "best mean of layers on every network, and the best mean SNR over networks; the "
            "percentile that suits one network costs another. Outputs of single networks vary "
            "by 1 or 2 dB with ranges that differ by a few percent."
        )
        command = "python -m tests.end_to_end.converter_ranges --write"
        write_table("converter-ranges", "Converter ranges", command, header, rows, note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
