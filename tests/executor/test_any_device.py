"""Whatever a target may say of its cells, conductances stay finite and are never negative."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cimc.errors import TargetError
from cimc.executor.compensation import after_programming, factor_of
from cimc.executor.fluctuation_variance import variance_us2
from tests.executor.devices import chip, filled, physics

share = st.floats(0.0, 1.0)
exponent = st.floats(-0.1, 0.1)
time_s = st.sampled_from([0.0, 1e-9, 1.0, 3600.0, 3e7, 1e11])


def maybe(**settings_of: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries(settings_of)


def limits(low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=2, max_size=2).map(sorted)


SECTIONS = st.fixed_dictionaries({
    "cell__g_min": st.sampled_from(["0 uS", "1e-6 uS", "2 uS", "17.9 uS"]),
    "noise__programming": st.none() | st.one_of(
        st.fixed_dictionaries({"sigma_relative": share}),
        st.fixed_dictionaries({"sigma_log": st.floats(0.0, 3.0)}),
        st.fixed_dictionaries({"polynomial": st.lists(st.floats(-1, 1), min_size=1, max_size=4)}),
    ),
    "noise__device_to_device": maybe(
        sigma_lrs=share, sigma_hrs=share, distribution=st.sampled_from(["normal", "lognormal"])
    ),
    "noise__correlated": maybe(
        sigma_relative=share, length=st.floats(0.01, 1e5), wafer_sigma_relative=share,
        wafer_length=st.sampled_from([1.5, 16.0, 1e5]),
    ),
    "noise__relaxation": maybe(rate=share, sigma_relative=share),
    "noise__drift": maybe(
        nu=exponent, nu_slope=exponent, nu_limits=limits(-0.2, 0.2), nu_sigma=exponent,
        nu_sigma_slope=exponent, nu_sigma_limits=limits(0.0, 0.1),
        compensation=st.sampled_from(["global", "per-column"]),
    ),
    "noise__thermal": maybe(
        temperature=st.sampled_from(["4 K", "300 K", "400 K"]),
        tc_lrs_per_k=st.floats(-1e-3, 1e-3), ea_hrs=st.sampled_from(["0 eV", "0.02 eV"]),
    ),
    "noise__read": maybe(
        sigma_relative=share,
        one_over_f=maybe(amplitude=share, exponent=st.floats(0, 4), limit=st.floats(0.1, 10)),
        telegraph=maybe(amplitude=share, occupancy=share, cells=share),
    ),
    "stuck": maybe(at_g_min=share, at_g_max=share),
    "lines": maybe(
        open_word_line=share, open_bit_line=share, stuck_word_line=share, stuck_bit_line=share
    ),
})  # fmt: skip


@given(sections=SECTIONS, at_s=time_s, seed=st.integers(0, 2**70))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_conductances_and_variances(sections: dict[str, Any], at_s: float, seed: int) -> None:
    try:
        modelled = physics(at_s, **sections)
    except TargetError:
        assume(False)
    low = modelled.target.cell.g_min_us
    states = torch.linspace(low, 18.0, 8 * 6).reshape(8, 6)
    one = filled(states, (8, 6))
    now = chip(one, modelled, seed)
    for number, plane in enumerate(now):
        assert plane.dtype == torch.float32
        assert bool(torch.isfinite(plane).all())
        assert float(plane.min()) >= 0.0
        assert torch.equal(one.cells.planes[number][0], states)
        variance = variance_us2(one, number, plane, modelled, seed)
        assert variance is None or bool((torch.isfinite(variance) & (variance >= 0)).all())
    before = chip(one, after_programming(modelled), seed)
    factor = torch.as_tensor(factor_of(one, before, now, modelled))
    assert bool((torch.isfinite(factor) & (factor >= 0)).all())
