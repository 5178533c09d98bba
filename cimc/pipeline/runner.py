"""Run passes in order and check the network between them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.fx import Node

from cimc.errors import InternalError
from cimc.ir.interpreter import interpret
from cimc.ir.network import Network, Stage
from cimc.ir.printer import to_text
from cimc.ir.verifier import verify
from cimc.passbase import Pass, PassContext
from cimc.pipeline import samples
from cimc.pipeline.agreement import compare
from cimc.pipeline.options import REMAPPED
from cimc.pipeline.report import PassReport

log = logging.getLogger(__name__)


def check_order(passes: Sequence[Pass], stage: Stage = Stage.IMPORTED) -> None:
    """Fail before any work is done if a pass comes too early.

    Raises:
        InternalError: CIMC-I07.
    """
    for position, step in enumerate(passes, 1):
        if stage < step.needs:
            raise InternalError(
                "CIMC-I07",
                f"pass '{step.name}' needs a {step.needs.name.lower()} network",
                where=f"pipeline position {position} of {len(passes)}, "
                f"after a {stage.name.lower()} network",
                hint=f"a pass that gives {step.needs.name.lower()} before it",
            )
        stage = max(stage, step.gives)


class Runner:
    """Runs passes; verifies, dumps and checks the network after each.

    Attributes:
        reports: One a pass, in order.
        unmapped: The network before it was made for one chip; None: it was not.
    """

    def __init__(
        self,
        context: PassContext,
        trial: samples.Trial | None,
        dump: str | Path | None,
        check: bool,
    ) -> None:
        self.reports: tuple[PassReport, ...] = ()
        self.unmapped: Network | None = None
        self._context = context
        self._trial = trial
        self._dump = None if dump is None else Path(dump)
        self._check = check
        self._float_layers: dict[str, Any] = {}

    def run(self, passes: Sequence[Pass], network: Network) -> Network:
        """Run the passes in order.

        Raises:
            InternalError: CIMC-I01, a pass left an invalid network.
        """
        self._write(0, "import", network)
        for number, step in enumerate(passes, 1):
            self._context.progress(step.name, 0.0)
            start = time.perf_counter()
            if step.name == REMAPPED:
                self.unmapped = network
            network = step.run(network, self._context)
            seconds = time.perf_counter() - start
            log.info("pass %s: %.3f s", step.name, seconds)
            if problems := verify(network):
                raise InternalError(
                    "CIMC-I01",
                    f"pass '{step.name}' left an invalid network",
                    where="; ".join(problems[:5]),
                )
            self._write(number, step.name, network)
            self.reports += (self._report(step, seconds, network),)
        return network

    def _write(self, number: int, name: str, network: Network) -> None:
        if self._dump is not None:
            self._dump.mkdir(parents=True, exist_ok=True)
            (self._dump / f"{number:02}-{name}.txt").write_text(to_text(network))

    def _report(self, step: Pass, seconds: float, network: Network) -> PassReport:
        if not self._check or self._trial is None:
            return PassReport(step.name, seconds)
        layers: dict[str, Any] = {}
        watched = {u.node for layer in network.layers.values() for u in layer.uses}

        def observe(node: Node, operands: tuple[Any, ...], value: Any) -> Any:
            if node.name in watched:
                layers[node.name] = samples.as_array(
                    value[0] if isinstance(value, tuple) else value
                )
            return value

        values = [samples.as_tensor(self._trial.inputs[s.name]) for s in network.inputs]
        results = interpret(network.graph, values, observe)
        got = {s.name: samples.as_array(v) for s, v in zip(network.outputs, results, strict=True)}
        if network.stage <= Stage.CALIBRATED:
            self._float_layers = layers
        floats = self._float_layers
        per_layer = {
            name: compare({name: value}, {name: floats[name]}).snr_db
            for name, value in layers.items()
            if name in floats
        }
        return PassReport(step.name, seconds, compare(got, self._trial.expected).snr_db, per_layer)
