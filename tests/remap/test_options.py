"""Reachable values are what the device model gives, and none is nearer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.errors import UsageError
from cimc.remap.options import CellFaults, options_of, to_cells
from tests.remap.small_layers import Case, case, ideal_weight, reachable

SEEDS = st.integers(0, 2**31)
KINDS = ("pair", "offset", "digital", "conductance")


def wanted_of(made: Case, seed: int) -> torch.Tensor:
    """Weights in and around the range, some exactly reachable, some halfway between two."""
    draw = np.random.default_rng(seed)
    out = np.empty(made.shape)
    for at in np.ndindex(made.shape):
        values = np.sort(reachable(made, at))
        span = max(values[-1] - values[0], 1.0)
        k = draw.integers(len(values))
        out[at] = [
            draw.uniform(values[0] - 0.3 * span, values[-1] + 0.3 * span),
            draw.choice([-6.0, 6.0]) * span,
            values[k],
            (values[k] + values[max(k - 1, 0)]) / 2,
        ][draw.integers(4)]
    return torch.tensor(out, dtype=torch.float32)


def scale_of(made: Case) -> float:
    gain = float(made.cells.gain.abs().max())
    correction = made.cells.correction_us
    most = 20.0 * len(made.cells.planes) + (
        0.0 if correction is None else float(correction.abs().max())
    )
    wild = 1.0 if not made.faults.has_gains else 5.0
    return gain * most * wild


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(KINDS), seed=SEEDS, own=st.booleans(), even=st.booleans(),
    gains=st.sampled_from(("none", "none", "mild", "wild")),
    rate=st.sampled_from((0.0, 0.3, 0.9)), states=st.sampled_from((2, 4, 7)),
)  # fmt: skip
def test_the_nearest_of_all_states_and_what_the_device_does(
    kind: str, seed: int, own: bool, even: bool, gains: str, rate: float, states: int
) -> None:
    made = case(
        kind, seed, own_states=own, even=even, gains=gains, rate=rate, states=states, slices=3
    )
    options = options_of(
        made.cells, made.encoding, made.faults, made.target, column_tile=made.column_tile
    )
    wanted = wanted_of(made, seed)
    value, choice = options.nearest(wanted)
    near = 2e-6 * scale_of(made)
    # The device model gives what is claimed.
    cells = to_cells(made.cells, options, choice)
    assert torch.allclose(ideal_weight(made, cells), value, rtol=0, atol=near)
    assert torch.equal(options.values(choice), value)
    # Nothing is nearer.
    bits = kind == "conductance" and gains != "none"
    for at in np.ndindex(made.shape):
        best = np.abs(reachable(made, at, bits=bits) - float(wanted[at])).min()
        assert abs(float(value[at]) - float(wanted[at])) <= best + near


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(("pair", "offset")), seed=SEEDS, own=st.booleans(),
    gains=st.sampled_from(("none", "mild", "wild")),
)  # fmt: skip
def test_codebook_keeps_healthy_weights_to_their_levels(
    kind: str, seed: int, own: bool, gains: str
) -> None:
    made = case(kind, seed, own_states=own, gains=gains, states=5)
    options = options_of(
        made.cells, made.encoding, made.faults, made.target, use="codebook",
        levels=made.levels, column_tile=made.column_tile,
    )  # fmt: skip
    wanted = wanted_of(made, seed)
    value, choice = options.nearest(wanted)
    near = 2e-6 * scale_of(made)
    cells = to_cells(made.cells, options, choice)
    assert torch.allclose(ideal_weight(made, cells), value, rtol=0, atol=near)
    own_cells = made.faults.stuck_us[0].isnan()
    other = made.faults.stuck_us[1].isnan()
    healthy = own_cells & (other[:, :, made.column_tile] if kind == "offset" else other)
    for at in np.ndindex(made.shape):
        if not healthy[at]:
            best = np.abs(reachable(made, at) - float(wanted[at])).min()
            assert abs(float(value[at]) - float(wanted[at])) <= best + near
        elif gains == "none":
            levels = made.levels if made.levels.ndim == 1 else made.levels[at[0] * 4 + at[2]]
            best = (levels - wanted[at]).abs().min()
            assert (levels - value[at]).abs().min() <= near
            assert abs(float(value[at]) - float(wanted[at])) <= best + near


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(KINDS), seed=SEEDS, own=st.booleans(),
    gains=st.sampled_from(("none", "mild", "wild")),
)  # fmt: skip
def test_analog_cells_reach_everything_between_the_ends(
    kind: str, seed: int, own: bool, gains: str
) -> None:
    made = case(kind, seed, own_states=own, gains=gains, states=2)
    options = options_of(
        made.cells, made.encoding, made.faults, made.target, use="analog",
        column_tile=made.column_tile,
    )  # fmt: skip
    if kind == "conductance":
        # Ends of the range of every cell: the states table of a slice has g_max for the last.
        made.cells.states_us[..., 1:] = 18.0
    wanted = wanted_of(made, seed)
    value, choice = options.nearest(wanted)
    near = 4e-6 * scale_of(made)
    cells = to_cells(made.cells, options, choice)
    assert cells.states_us is None
    assert all(p.min() >= 2.0 and p.max() <= 18.0 for p in cells.planes)
    assert torch.allclose(ideal_weight(made, cells), value, rtol=0, atol=near)
    for at in np.ndindex(made.shape):
        ends = reachable(made, at)
        expected = np.clip(float(wanted[at]), ends.min(), ends.max())
        assert math.isclose(float(value[at]), expected, abs_tol=near)


@pytest.mark.parametrize("levels", [None, torch.tensor([-1.0, 0.0, 0.5])])
def test_signed_cells_hold_weights(levels: torch.Tensor | None) -> None:
    made = case("signed", 3)
    options = options_of(made.cells, "signed", made.faults, made.target, levels=levels)
    wanted = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    value, choice = options.nearest(wanted)
    assert torch.equal(ideal_weight(made, to_cells(made.cells, options, choice)), value)
    stuck = made.faults.stuck_us[0]
    assert torch.equal(value[~stuck.isnan()], stuck[~stuck.isnan()])
    free = wanted[stuck.isnan()]
    if levels is None:
        assert torch.equal(value[stuck.isnan()], free)
    else:
        best = (free[:, None] - levels).abs().min(1).values
        assert torch.equal((value[stuck.isnan()] - free).abs(), best)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gains", ["none", "mild"])
@pytest.mark.parametrize("use", ["codebook", "states", "analog"])
def test_parts_give_what_the_whole_gives(kind: str, gains: str, use: str) -> None:
    made = case(kind, 5, own_states=True, gains=gains, states=5)
    options = options_of(
        made.cells, made.encoding, made.faults, made.target, use=use, levels=made.levels,
        column_tile=made.column_tile,
    )  # fmt: skip
    wanted = wanted_of(made, 1)
    value, choice = options.nearest(wanted)
    planes = options.planes(choice)
    at = (torch.tensor([[1], [0]]), torch.tensor([[2, 0], [0, 1]]))
    for index in ((slice(None), 1), (slice(None), slice(0, 2)), (1, slice(1, 3)), at):
        part = options[index]
        assert part.shape == wanted[index].shape
        some, chosen = part.nearest(wanted[index])
        assert torch.equal(some, value[index])
        assert torch.equal(part.values(chosen), some)
        for a, b in zip(part.planes(chosen), planes, strict=True):
            assert torch.equal(a, b[index])
    turned = wanted.transpose(0, 2).contiguous().transpose(0, 2)
    assert torch.equal(options.nearest(turned)[0], value)
    lead = torch.stack([wanted, wanted + 0.5, wanted - 2.0])[:, None]
    many, _ = options.nearest(lead)
    assert many.shape == (3, 1, *made.shape)
    for one, row in zip(many[:, 0], lead[:, 0], strict=True):
        assert torch.equal(one, options.nearest(row)[0])


def test_a_pair_of_v_states_reaches_v_squared_less_v_plus_1_weights() -> None:
    made = case("pair", 8, rate=0.0, states=6)
    options = options_of(made.cells, made.encoding, made.faults, made.target)
    gain = float(made.cells.gain)
    sweep = gain * torch.linspace(-17, 17, 200_001)[:, None, None, None]
    values = options[:1, :1, :1].nearest(sweep)[0]
    assert len(values.unique()) == 6 * 5 + 1


def test_of_equal_weights_the_least_conductance_is_taken() -> None:
    """Steps of 16 / 6 uS: differences that should be the same differ by rounding."""
    made = case("pair", 8, rate=0.0, states=7, even=True)
    options = options_of(made.cells, made.encoding, made.faults, made.target)
    steps = torch.arange(24).reshape(made.shape) % 13 - 6
    for off in (-1e-5, -1e-6, 0.0, 1e-6, 1e-5):
        delta = steps * (16 / 6) + off
        plus, minus = options.planes(options.nearest(made.cells.gain * delta)[1])
        assert torch.equal(plus.to(torch.int64), steps.clamp(min=0))
        assert torch.equal(minus.to(torch.int64), (-steps).clamp(min=0))


def test_stuck_cells_have_the_nearest_state() -> None:
    made = case("pair", 11, own_states=True, states=5)
    options = options_of(made.cells, made.encoding, made.faults, made.target)
    planes = options.planes(options.nearest(torch.zeros(made.shape))[1])
    hit = 0
    for plane, stuck in zip(planes, made.faults.stuck_us, strict=True):
        for at in np.ndindex(made.shape):
            if not stuck[at].isnan():
                away = (options.states_us[at[0] * 4 + at[2]] - stuck[at]).abs()
                assert away[plane[at].long()] == away.min()
                hit += 1
    assert hit > 5


def test_states_of_the_device_serve_beyond_those_of_the_codebook() -> None:
    made = case("pair", 2, rate=0.0, states=4, even=True)
    states = [2.0 + 16.0 * k / 9 for k in range(10)]
    listed = made.target.changed(
        {"cell.states": [f"{g} uS" for g in states], "cell.default_levels": 8}
    )
    options = options_of(made.cells, made.encoding, made.faults, listed)
    assert options.states_us is not None
    assert len(options.states_us) == 10


def test_what_does_not_fit_is_refused() -> None:
    made = case("pair", 2, gains="mild")
    none = made.faults
    with pytest.raises(UsageError, match="CIMC-U60"):
        options_of(made.cells, made.encoding, none, made.target, use="codebook")
    listed = made.target.changed({"cell.states": ["2 uS", "18 uS"], "cell.default_levels": 2})
    with pytest.raises(UsageError, match="CIMC-U60"):
        options_of(made.cells, made.encoding, none, listed, use="analog")
    with pytest.raises(UsageError, match="CIMC-U60"):
        options_of(made.cells, "signed", none, made.target)
    beside = case("offset", 2)
    with pytest.raises(UsageError, match="CIMC-U60"):
        options_of(beside.cells, beside.encoding, beside.faults, beside.target)


def test_no_faults() -> None:
    made = case("pair", 2)
    none = CellFaults.none(made.cells.planes)
    assert not none.has_gains
    assert all(bool(s.isnan().all()) for s in none.stuck_us)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gains", ["none", "mild"])
def test_large_layers_take_another_way_to_the_same_values(
    kind: str, gains: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tables of all sums or differences, and few candidates at a time."""
    for seed in range(4):
        made = case(kind, seed, own_states=True, gains=gains, slices=5 if kind == "digital" else 3)
        use = "codebook" if kind == "conductance" else "states"
        given = (made.cells, made.encoding, made.faults, made.target)
        settings = {"use": use, "levels": made.levels, "column_tile": made.column_tile}
        wanted = wanted_of(made, seed)
        value, _ = options_of(*given, **settings).nearest(wanted)
        with monkeypatch.context() as small:
            small.setattr("cimc.remap.pair_options.MOST_DIFFERENCES", 0)
            small.setattr("cimc.remap.slice_options.MOST_SUMS", 0)
            small.setattr("cimc.remap.slice_options._AT_ONCE", 60)
            small.setattr("cimc.remap.reachable_sums._AT_ONCE", 60)
            options = options_of(*given, **settings)
            other, choice = options.nearest(wanted)
        near = 2e-6 * scale_of(made)
        assert torch.allclose((other - wanted).abs(), (value - wanted).abs(), rtol=0, atol=near)
        cells = to_cells(made.cells, options, choice)
        assert torch.allclose(ideal_weight(made, cells), other, rtol=0, atol=near)
