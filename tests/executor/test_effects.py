"""Which non-idealities of cells a run applies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cimc.executor import Executor
from cimc.executor.crossbars import Crossbars, wafer_of
from cimc.executor.physics import physics_of
from cimc.ir.geometry import Geometry
from cimc.ir.layer import Dac
from tests.executor.devices import SECTIONS
from tests.executor.programs import one_layer, quarters, target

ALL = {key: value for section in SECTIONS.values() for key, value in section.items()}
ALL["noise__read"] = {"sigma_relative": 0.02, "telegraph": ALL.pop("noise__read__telegraph")}


def network(**sections: object):
    return one_layer(
        "matmul", quarters((64, 16), 0), Geometry("matrix", 1, 64, 16), ["n", 64], rows=24,
        dac=Dac(6, True, "static", 2.0), adc_bits=8, i_max_us=100.0, device=target(**sections),
    )  # fmt: skip


def run(program, mode: str = "chip", **options: object):
    x = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    return Executor(program, mode, **options).run({"x": x}).outputs["y"]


@pytest.mark.parametrize("mode", ["ideal", "noise-free"])
def test_only_chips_have_them(mode: str) -> None:
    plain, noisy = network(), network(**ALL, read__at="1000 s")
    np.testing.assert_array_equal(run(noisy, mode), run(plain, mode))
    assert not np.array_equal(run(noisy), run(plain))


def test_nothing_but_converters_is_noise_free() -> None:
    only = frozenset({"dac", "adc"})
    np.testing.assert_array_equal(run(network(**ALL), effects=only), run(network(), "noise-free"))


@pytest.mark.parametrize("name", SECTIONS)
def test_one_alone_is_a_target_that_has_only_this(name: str) -> None:
    effects = frozenset({name, "dac", "adc"})
    got = run(network(**ALL), effects=effects, at_s=1e4, seed=4)
    section = dict(SECTIONS[name])
    if name == "telegraph":
        section = {"noise__read": {"telegraph": section["noise__read__telegraph"]}}
    np.testing.assert_array_equal(got, run(network(**section), at_s=1e4, seed=4))
    assert not np.array_equal(got, run(network(), "noise-free"))


@pytest.mark.parametrize("encoding", ["differential-pair", "offset-column"])
def test_all_at_once(encoding: str) -> None:
    program = one_layer(
        "matmul", quarters((64, 16), 0), Geometry("matrix", 1, 64, 16), ["n", 64], rows=24,
        columns=7, encoding=encoding, device=target(encoding=encoding, **ALL),
    )  # fmt: skip
    first, again, other = (run(program, seed=seed, at_s=1e4) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()


def test_a_layer_is_the_same_with_and_without_others_beside_it() -> None:
    """Also where they share its arrays, before it or after it in the program."""
    alone = network(**ALL)
    other = replace(alone.layers["w"], name="v")
    seen = []
    for layers in (alone.layers, {**alone.layers, "v": other}, {"v": other, **alone.layers}):
        program = replace(alone, layers=layers)
        wafer = wafer_of(program, physics_of(program, "chip", at_s=1e4), torch.device("cpu"))
        seen.append(Crossbars(wafer, 3).matrices("w").lanes[0].delta_us)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
