"""Chips whose conductances were measured: what is simulated on top, and how often they are run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cimc.errors import CimcError
from cimc.executor import Executor
from cimc.program.arrays import conductance_us
from cimc.program.measured import Readback
from cimc.program.model import DeviceProgram
from cimc.targets import Target
from cimc.verification import verify
from cimc.verification.effects import select
from cimc.verification.measured_chips import REPLACED, MeasuredChips, remaining
from tests.program.factories import mlp


def program(**changes: Any) -> DeviceProgram:
    made = mlp(states=None)
    target = Target.from_plain(dict(made.target))
    changed = target.changed({k.replace("__", "."): v for k, v in changes.items()})
    return replace(made, target=changed.plain(), faults=None)


def read_back(made: DeviceProgram, seed: int | None = None) -> Readback:
    """The targets, or the targets and a few uS more or less."""
    arrays = {}
    for k in range(made.arrays):
        arrays[k] = conductance_us(made, k)
        if seed is not None:
            drawn = np.random.default_rng([seed, k]).uniform(0.0, 4.0, arrays[k].shape)
            arrays[k] = arrays[k] + drawn.astype(np.float32)
    return Readback(f"chip {seed}", "", arrays)


def data() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).standard_normal((12, 2, 6, 6)).astype(np.float32)}


def test_a_perfect_read_back_is_the_noise_free_program() -> None:
    made = program()
    report = verify(made, data=data(), measured=read_back(made), chips=7)
    noise_free = Executor(made, mode="noise-free").run(data()).outputs["y"]
    chip = MeasuredChips(made, [read_back(made)], remaining(select(made)), 0)
    np.testing.assert_array_equal(chip.run(data()).outputs["y"], noise_free)
    assert (report.chips, report.interval, report.mean) == (1, "exact", report.noise_free)


def test_what_was_measured_is_not_simulated_on_top() -> None:
    noisy = program(
        noise__drift={"nu": 0.05, "nu_sigma": 0.01},
        noise__relaxation={"rate": 0.1, "sigma_relative": 0.1},
        noise__correlated={"sigma_relative": 0.1},
        noise__device_to_device={"sigma_lrs": 0.1},
        stuck={"at_g_min": 0.1},
        lines={"open_bit_line": 0.1},
        noise__thermal={"temperature": "360 K", "tc_lrs_per_k": -0.002},
    )
    left = remaining(select(noisy, at="1d"))
    assert set(left.effects) == set(select(noisy).effects) - REPLACED
    assert set(left.effects) == {"dac", "adc"} & set(select(noisy).effects)
    calm = program()
    ours = MeasuredChips(noisy, [read_back(noisy, 3)], left, 0).run(data()).outputs["y"]
    plain = remaining(select(calm))
    wanted = MeasuredChips(calm, [read_back(calm, 3)], plain, 0).run(data()).outputs["y"]
    np.testing.assert_array_equal(ours, wanted)


def test_one_chip_is_run_as_often_as_asked_where_reads_fluctuate() -> None:
    made = program(noise__read={"sigma_relative": 0.02})
    report = verify(made, data=data(), measured=read_back(made, 1), chips=4)
    assert (report.chips, report.effects[-1]) == (4, "read")
    chip = MeasuredChips(made, [read_back(made, 1)], remaining(select(made)), 5)
    first = chip.run(data()).outputs["y"]
    other = chip.chip(6).run(data()).outputs["y"]
    again = chip.chip(5).run(data()).outputs["y"]
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, again)


def test_several_files_are_several_chips_in_their_order() -> None:
    made = program()
    files = [read_back(made, k) for k in (1, 2, 3)]
    report = verify(made, data=data(), measured=files, chips=50, seed=9)
    assert report.chips == 3
    assert report.measured == ("chip 1", "chip 2", "chip 3")
    alone = [verify(made, data=data(), measured=f).values[0] for f in files]
    assert report.values == tuple(alone)
    assert report.worst_chip == 9 + int(np.argmin(alone))


def test_choosing_a_chip_leaves_the_first_as_it_is() -> None:
    made = program()
    left = remaining(select(made))
    chip = MeasuredChips(made, [read_back(made, 1), read_back(made, 2)], left, 0)
    before = chip.run(data()).outputs["y"]
    second = chip.chip(1).run(data()).outputs["y"]
    np.testing.assert_array_equal(chip.run(data()).outputs["y"], before)
    assert not np.array_equal(second, before)


def test_a_wrong_file_among_several_is_refused_first() -> None:
    made = program()
    short = Readback("short", "", {0: read_back(made).arrays[0]})
    with pytest.raises(CimcError) as caught:
        MeasuredChips(made, [read_back(made), short], remaining(select(made)), 0)
    assert caught.value.code == "CIMC-P71"


def test_figures_in_another_unit_are_noticed() -> None:
    made = program()
    siemens = {k: m * np.float32(1e-6) for k, m in read_back(made).arrays.items()}
    report = verify(made, data=data(), measured=Readback("s", "", siemens))
    assert any("values are taken in uS" in line for line in report.warnings)
    assert not any("uS" in w for w in verify(made, data=data(), measured=read_back(made)).warnings)


def test_golden_vectors_of_a_measured_chip() -> None:
    from cimc.program.model import Golden

    made = program()
    x = data()
    run = Executor(made, mode="noise-free").run(x, taps=True)
    with_vectors = replace(made, golden=Golden(x, run.outputs, run.layers))
    report = verify(with_vectors, measured=read_back(made))
    assert (report.baseline, report.passed, report.chips) == ("golden", True, 1)
    assert report.mean == float("inf")
    worse = verify(with_vectors, measured=read_back(made, 4))
    assert worse.mean < 60.0
