"""Train a network for the one chip it was compiled for [NM §3.6, §3.7]."""

from __future__ import annotations

from dataclasses import replace

import torch

from cimc.faults.fault_map import FaultMap
from cimc.ir import rewrite
from cimc.ir.network import Network
from cimc.program.model import FaultRecord
from cimc.quantizers.periphery.fit import Method
from cimc.targets import Target
from cimc.training.chip_recipe import check_recipe
from cimc.training.float_teacher import teacher_of, with_reference
from cimc.training.input_power import with_power
from cimc.training.known_chip import KnownChip
from cimc.training.loop import fit
from cimc.training.parallel import local_device
from cimc.training.reachable_levels import Use
from cimc.training.settings import Training
from cimc.training.trainable import SEARCH, TrainableNetwork
from cimc.verification.options import Progress, silent


def train_for_chip(
    network: Network,
    target: Target,
    faults: FaultMap | FaultRecord,
    training: Training,
    *,
    use: Use = "states",
    method: Method = SEARCH,
    progress: Progress = silent,
) -> Network:
    """Return a network trained for the chip it was put on.

    Weights start at the values their cells were programmed to, and are at every step what their
    own cells can reach; biases and other digital constants are trained with them.

    Args:
        network: With cells for this chip, as the remapper leaves it.  Its ``float_graph`` is the
            teacher of distillation; without one it is made of the float weights and constants
            the network keeps.
        target: The device.
        faults: Of the chip.
        training: Data, recipe, checkpoints; given the history when it ends.
        use: What cells may hold, see :class:`cimc.remap.settings.RemapSettings`.
        method: How converter ranges are found.
        progress: Told what is being done and the share done.

    Returns:
        The network with other cells, weights as they are on the chip, constants and converter
        ranges; the one given where no epoch was better.  Float weights and constants stay those
        another chip is compiled for.

    Raises:
        UsageError: CIMC-U71, CIMC-U72, settings that cannot be with this chip.
        ModelError: CIMC-M90 to CIMC-M97, as :func:`cimc.training.loop.fit`.
    """
    check_recipe(training.recipe, chip=True)
    run = replace(training, device=local_device(training.device))
    known = KnownChip.of(network, target, faults, use)
    start = with_power(with_chip_weights(with_reference(network), known), run.data)
    trainable = TrainableNetwork(
        start, target, run.recipe, device=run.device, method=method, known=known
    )
    history = fit(
        trainable,
        run,
        signals_in=network.inputs,
        signals_out=network.outputs,
        teacher=teacher_of(network, trainable, taps=run.recipe.layer_weight > 0),
        batched=network.batched,
        progress=progress,
    )
    run.done(history)
    if not history.kept:
        return network
    trained = trainable.network()
    layers = {
        name: replace(layer, uses=tuple(
            replace(use, statistics=before.statistics)
            for use, before in zip(layer.uses, network.layers[name].uses, strict=True)
        ))
        for name, layer in trained.layers.items()
    }  # fmt: skip
    return replace(
        trained,
        layers=layers,
        float_graph=network.float_graph,
        float_constants=_constants_before(network, trained),
    )


def with_chip_weights(network: Network, known: KnownChip) -> Network:
    """Return a network whose weights are what its cells are on the chip."""
    graph, tensors = rewrite.copy(network.graph)
    for name, cells in known.layers.items():
        layer = network.layers[name]
        matrix = cells.weights(cells.cells())
        shape = tuple(tensors[layer.weight].shape)
        tensors[layer.weight] = layer.geometry.from_matrix(matrix, shape).contiguous()
    return replace(network, graph=rewrite.build(graph, tensors))


def _constants_before(network: Network, trained: Network) -> dict[str, torch.Tensor]:
    """Return the float network's constants in place of those that are others now."""
    before, after = rewrite.attributes(network.graph), rewrite.attributes(trained.graph)
    weights = {layer.weight for layer in network.layers.values()}
    changed = {
        name: before[name].detach()
        for name, value in after.items()
        if name not in weights and name in before and not torch.equal(before[name], value)
    }
    return {**changed, **network.float_constants}
