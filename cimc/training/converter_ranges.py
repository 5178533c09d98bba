"""Converter settings of every use of a network in training: what changes, as buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from cimc.ir.layer import Adc, CrossbarLayer, Dac

#: A use: its node and operand.
Place = tuple[str, int]


class ConverterRanges(nn.Module):
    """The full scales of DACs and ADCs, kept with the weights in a checkpoint."""

    def __init__(self, layers: Mapping[str, CrossbarLayer]) -> None:
        """Take the settings of the layers' uses."""
        super().__init__()
        self._kinds: dict[Place, tuple[Dac, Adc]] = {}
        for layer in layers.values():
            for use in layer.uses:
                self._kinds[use.node, use.operand] = use.dac, use.adc
                name = _name((use.node, use.operand))
                full = use.dac.x_max
                scale = torch.tensor([torch.nan if full is None else full], dtype=torch.float64)
                self.register_buffer(f"{name}_input", scale)
                if use.adc.i_max_us is not None:
                    self.register_buffer(f"{name}_output", use.adc.i_max_us.clone())

    def settings(self) -> dict[Place, tuple[Dac, Adc]]:
        """Return the settings of every use."""
        return {place: self._of(place) for place in self._kinds}

    def _of(self, place: Place) -> tuple[Dac, Adc]:
        dac, adc = self._kinds[place]
        if dac.x_max is not None:
            dac = replace(dac, x_max=float(self.get_buffer(f"{_name(place)}_input")))
        if adc.i_max_us is not None:
            adc = replace(adc, i_max_us=self.get_buffer(f"{_name(place)}_output"))
        return dac, adc

    def take(self, layers: Mapping[str, CrossbarLayer]) -> None:
        """Take the settings of layers whose converters were fitted again."""
        for layer in layers.values():
            for use in layer.uses:
                name = _name((use.node, use.operand))
                if use.dac.x_max is not None:
                    self.get_buffer(f"{name}_input").fill_(use.dac.x_max)
                if use.adc.i_max_us is not None:
                    self.get_buffer(f"{name}_output").copy_(use.adc.i_max_us)

    def rescale(self, layer: CrossbarLayer, factor: Tensor) -> None:
        """Follow a layer whose largest level became ``factor`` times as large.

        The same weights are smaller conductances then, and so are the currents.

        Args:
            layer: Whose levels were fitted again.
            factor: ``(1,)`` or ``(groups * columns,)``.
        """
        for use in layer.uses:
            if use.adc.i_max_us is not None:
                full = self.get_buffer(f"{_name((use.node, use.operand))}_output")
                same = factor.numel() in (1, full.shape[-1])
                full.div_(factor.to(full) if same else factor.amin().to(full))


def _name(place: Place) -> str:
    return f"{place[0]}_{place[1]}"
