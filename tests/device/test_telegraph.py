"""Telegraph noise against drawing the electron of every trap in every read."""

from __future__ import annotations

import pytest
import torch

from cimc.device.seeding import generator
from cimc.device.telegraph import lower_by_traps, telegraph_variance, traps

READS = 40_000


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize(("amplitude", "p"), [(0.3, 0.5), (0.1, 0.2), (1.0, 0.5)])
def test_mean_and_variance_of_a_two_level_signal(amplitude: float, p: float, share: float) -> None:
    """40,000 reads: a mean off by 0.03 sigma or a variance off by 6 % is 6 errors off."""
    g = torch.linspace(2, 18, 20)
    trapped = traps(g.shape, share, generator(1, "test"))
    everywhere = torch.ones(20, dtype=torch.bool) if trapped is None else trapped
    caught = torch.rand((READS, 20), generator=torch.Generator().manual_seed(0)) < p
    read = g.double() * (1 - amplitude * (caught & everywhere).double())

    mean = lower_by_traps(g.clone(), trapped, amplitude, p)
    variance = telegraph_variance(mean, trapped, amplitude, p)

    error = (variance / READS).sqrt()
    assert bool(((read.mean(0) - mean).abs() <= 5 * error + 1e-5).all())
    torch.testing.assert_close(read.var(0).float(), variance, rtol=0.05, atol=1e-9)


def test_always_trapped_is_no_noise() -> None:
    g = lower_by_traps(torch.tensor([5.0]), None, 1.0, 1.0)
    assert g.tolist() == [0.0]
    assert telegraph_variance(g, None, 1.0, 1.0).tolist() == [0.0]


def test_share_of_cells() -> None:
    trapped = traps((100_000,), 0.4, generator(1, "test"))
    assert trapped is not None
    assert float(trapped.float().mean()) == pytest.approx(0.4, abs=5 * (0.24 / 1e5) ** 0.5)
