"""Train the network for the device it is compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from cimc.ir.network import Network, Stage
from cimc.passbase import Pass, PassContext
from cimc.quantizers.periphery.fit import Method
from cimc.training.parallel import local_device


@dataclass(frozen=True)
class Finetune(Pass):
    """Fine-tune weights, biases and, where asked for, levels and input ranges.

    1. The forward pass of a crossbar layer is the read of a chip with everything the target
       describes, another chip at every step; the backward pass is that of the clean operation
       [STE Alg. 1].  How is the recipe's: ``context.training``.
    2. Training starts at the float weights, with the levels that ``quantize`` found.
    3. Without training data the network is left as it is.
    4. Cells and converter ranges are of the weights before: the passes that set them run again
       after this one.  Ranges of DACs that were trained stay.
    5. With the faults of one chip in ``context`` the network is one that was put on that chip, and
       is trained for it [NM §3.6, §3.7]: cells and converter ranges are then of the new weights.

    Attributes:
        uniform: Levels are equally spaced, and stay so.
        input_method: Of DACs, as in ``fit-converters``: while it trains, ranges are found so too.
        adc_method: Of ADCs, likewise.
        percentile: Of the method of that name [%].
        cells: What healthy cells may hold on a chip whose faults are known, as in ``remap``.

    Raises:
        ModelError: CIMC-M90, CIMC-M91, nothing can be trained; CIMC-M94 to CIMC-M97, the loss
            cannot be computed, or is no number.
    """

    name: ClassVar[str] = "finetune"
    needs: ClassVar[Stage] = Stage.ASSIGNED
    gives: ClassVar[Stage] = Stage.ASSIGNED

    uniform: bool = False
    input_method: str = "search"
    adc_method: str = "search"
    percentile: float = 99.99
    cells: str = "states"

    def run(self, network: Network, context: PassContext) -> Network:
        """Return the network with trained weights."""
        run = context.training
        if run is None:
            return network
        from cimc.training.chip_recipe import check_recipe
        from cimc.training.float_teacher import teacher_of
        from cimc.training.for_chip import train_for_chip
        from cimc.training.loop import fit
        from cimc.training.trainable import TrainableNetwork

        method = Method(self.input_method, self.adc_method, self.percentile)
        if context.faults is not None:
            return train_for_chip(
                network,
                context.target,
                context.faults,
                run,
                use=self.cells,  # type: ignore[arg-type]  # `remap` has checked it
                method=method,
                progress=lambda what, share: context.progress(_named(what), share),
            )
        check_recipe(run.recipe, chip=False)
        run = replace(run, device=local_device(run.device))
        trainable = TrainableNetwork(
            network,
            context.target,
            run.recipe,
            device=run.device,
            uniform=self.uniform,
            method=method,
        )
        history = fit(
            trainable,
            run,
            signals_in=network.inputs,
            signals_out=network.outputs,
            teacher=teacher_of(network, trainable, taps=run.recipe.layer_weight > 0),
            batched=network.batched,
            progress=lambda what, share: context.progress(_named(what), share),
        )
        run.done(history)
        # No epoch was better: what was compiled, to the code, and not its nearest levels.
        # Trained weights and constants are no longer made for one another with the float ones.
        trained = replace(trainable.network(), float_constants={}) if history.kept else network
        return _said(trained, trainable.frozen)


def _named(what: str) -> str:
    """Return a message of the loop under the name of this pass."""
    return what.replace("fine-tune", Finetune.name, 1)


def _said(network: Network, frozen: Mapping[str, tuple[str, ...]]) -> Network:
    """Return the network with a warning for each layer that could not be trained."""
    messages = []
    for layer, nodes in frozen.items():
        named = ", ".join(f"'{node}'" for node in nodes)
        why = f"{named} run in onnxruntime and have" if nodes else "what reads it has"
        messages.append(f"layer '{layer}' was not trained: {why} no gradient")
    return network.warn(*messages)
