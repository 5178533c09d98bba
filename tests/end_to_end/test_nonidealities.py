"""Every non-ideality does something to a real network, in the direction it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cimc
from cimc.executor import Executor
from cimc.targets.compatibility import FIXED, FLUCTUATIONS, SWITCHES, switched_on
from tests.end_to_end.nonidealities import STE_ROWS, Bench, alone, device, effect_rows, on
from tests.zoo.resnet8 import PATH
from tests.zoo.task import Array

IMAGES, CHIPS = 24, 2

#: So few lines of a small network break that most chips have none; in these tests more do.
BROKEN = {"lines.open_bit_line": 0.01}

#: A setting of each random one, and a stronger value: errors grow with it.
STRONGER: dict[str, dict[str, object]] = {
    "adc": {"adc.bits": 6},
    "dac": {"read.dac_bits": 6},
    "nonlinearity": {"cell.nonlinearity.sinh": "0.2 V"},
    "programming": {"noise.programming.sigma": "0.6 uS"},
    "device-to-device": {"noise.device_to_device.sigma_lrs": 0.12},
    "correlated": {"noise.correlated.sigma_relative": 0.08},
    "read": {"noise.read.sigma_relative": 0.06},
    "one-over-f": {"noise.read.one_over_f.amplitude": 0.012},
    "telegraph": {"noise.read.telegraph.amplitude": 0.3},
    "temperature": {"noise.thermal.temperature": "360 K"},
    "johnson": {"noise.thermal.bandwidth": "10 GHz"},
    "drift": {"noise.drift.nu_sigma": 0.02},
    "relaxation": {"noise.relaxation.sigma_relative": 0.05},
    "stuck": {"stuck.at_g_max": 0.02},
    "lines": {"lines.open_bit_line": 0.1},
    "ir-drop": {"wires.bit_line": "4 ohm"},
}


def pictures() -> Array:
    """Return smooth random images, like none in particular but within the range of real ones."""
    rng = np.random.default_rng(7)
    coarse = rng.standard_normal((IMAGES, 1, 7, 7)).astype(np.float32)
    return np.kron(coarse, np.ones((1, 1, 4, 4), np.float32))


@pytest.fixture(scope="module")
def bench() -> Bench:
    images = {"image": pictures()}
    program = cimc.compile(PATH, target=device().changed(BROKEN))
    return Bench(program, images, np.zeros(IMAGES, np.int64), CHIPS)


@pytest.fixture(scope="module")
def wired(bench: Bench) -> Bench:
    return replace(bench, program=on(bench.program, device(wired=True)))


@pytest.fixture(scope="module")
def ideal(bench: Bench) -> Array:
    return bench.logits("ideal", 0, None)


def chosen(name: str, bench: Bench, wired: Bench) -> Bench:
    return wired if name == "ir-drop" else bench


def error(bench: Bench, effects: frozenset[str], ideal: Array) -> float:
    return bench.scores(effects, ideal)[1]


def test_the_chip_has_every_non_ideality():
    assert switched_on(device()) | switched_on(device(wired=True)) == set(SWITCHES)
    assert {name for names in STE_ROWS.values() for name in names} <= set(SWITCHES)


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_changes_something_and_not_everything(name, bench, wired, ideal):
    own = chosen(name, bench, wired)
    effects = alone(name)
    outs = [own.logits("chip", seed, effects) for seed in range(CHIPS)]
    without = own.logits("chip", 0, effects - {name})
    assert not np.array_equal(outs[0], without)
    # In percent of the spread of the outputs; one stuck line is a column of wrong weights.
    assert 0.01 < error(own, effects, ideal) < (300.0 if name == "lines" else 70.0)
    same = np.array_equal(*outs)
    assert same == (effects <= FIXED), "chips differ exactly where something is drawn"


@pytest.mark.parametrize("name", sorted(set(SWITCHES) - FIXED))
def test_a_chip_is_the_same_whenever_it_is_made(name, bench, wired):
    own, effects = chosen(name, bench, wired), alone(name)
    assert np.array_equal(own.logits("chip", 1, effects), own.logits("chip", 1, effects))


@pytest.mark.parametrize("name", sorted(FLUCTUATIONS))
def test_runs_of_one_chip_differ_where_it_fluctuates(name, bench):
    executor = Executor(bench.program, mode="chip", effects=alone(name), batch=250)
    first, second = (executor.run(bench.images).outputs for _ in range(2))
    assert not np.array_equal(*(next(iter(run.values())) for run in (first, second)))


@pytest.mark.parametrize("name", sorted(set(SWITCHES) - {"dac", "adc", "programming"}))
def test_only_an_effect_that_the_target_lacks_is_ideal(name, bench, ideal):
    rram = cimc.targets.load_target("rram-128")
    assert name not in switched_on(rram)
    lacking = replace(bench, program=on(bench.program, rram))
    assert np.array_equal(lacking.logits("chip", 0, frozenset({name})), ideal)


def test_everything_is_worse_than_each_alone_and_without_is_everything_but_one(bench, ideal):
    everything = switched_on(device()) - {"lines"}  # those drown the rest here, see BROKEN
    worst = error(bench, everything, ideal)
    assert worst > max(error(bench, alone(name), ideal) for name in everything)
    assert error(bench, everything - {"stuck", "relaxation", "temperature"}, ideal) < worst
    assert error(bench, everything - everything, ideal) == 0.0


@pytest.mark.parametrize("name", STRONGER)
def test_errors_grow_with_the_strength(name, bench, wired, ideal):
    own = chosen(name, bench, wired)
    target = device(wired=name == "ir-drop").changed(STRONGER[name])
    if name in ("adc", "dac"):  # ranges are of the compiled resolution
        program = cimc.compile(PATH, target=target)
    else:
        program = on(own.program, target)
    effects = alone(name)
    assert error(replace(own, program=program), effects, ideal) > 1.2 * error(own, effects, ideal)


def test_compensation_gives_back_what_drift_takes(bench, ideal):
    """Through the converters too: a factor applied after them."""
    effects = frozenset({"drift", "dac", "adc"})
    uncompensated = device().changed({"noise.drift.compensation": "none"})
    without = replace(bench, program=on(bench.program, uncompensated))
    assert error(bench, effects, ideal) < 0.5 * error(without, effects, ideal)


def test_rows_of_the_table(bench):
    rows = effect_rows(bench, ["programming", "read"], lambda row: None)
    assert [row[0] for row in rows] == ["programming noise", "read noise"]
    assert [row[2] for row in rows] == ["Programming noise", "Cycle-by-cycle read variance"]
    assert all(len(row) == 8 for row in rows)
