"""The pass does what recompiling does."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cimc.errors import UsageError
from cimc.faults import sample
from cimc.lowering.lift import lift
from cimc.passbase import PassContext
from cimc.passes.remap import Remap
from cimc.pipeline import compile_model
from cimc.pipeline.recompile import recompile
from cimc.program import read
from cimc.remap.settings import RemapSettings
from cimc.targets import load_target
from tests.verification.onnx_models import linear_chain


def test_defaults_are_those_of_the_settings() -> None:
    assert Remap().settings(0) == RemapSettings()
    assert set(asdict(RemapSettings())) - {"seed"} <= set(asdict(Remap()))


def test_methods_are_checked() -> None:
    with pytest.raises(UsageError, match="CIMC-U41"):
        Remap(method="luck")
    with pytest.raises(UsageError, match="CIMC-U41"):
        Remap(cells="all")


def test_nothing_is_done_without_faults(tmp_path: Path) -> None:
    model = linear_chain(tmp_path / "chain.onnx")
    program = compile_model(str(model), target="rram").program
    network = lift(program)
    assert Remap().run(network, PassContext(load_target("rram"))) is network


@pytest.mark.parametrize("calibrated", [False, True])
def test_compiling_for_a_chip_is_compiling_and_recompiling(
    tmp_path: Path, calibrated: bool
) -> None:
    model = linear_chain(tmp_path / "chain.onnx")
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    options = {"target": "rram", "data": {"x": x} if calibrated else None, "levels": 8}
    plain = compile_model(str(model), output=tmp_path / "plain.cim", **options).program
    faults = sample(plain, rate=0.2, seed=1)
    compile_model(str(model), output=tmp_path / "one.cim", fault_map=faults, **options)
    recompile(tmp_path / "plain.cim", faults, output=tmp_path / "two.cim")
    one, two = read(tmp_path / "one.cim"), read(tmp_path / "two.cim")
    assert one.faults is not None
    assert one.faults.chip == "chip-1"
    two = replace(two, provenance=one.provenance)
    from cimc.program import write

    assert write(two, tmp_path / "again.cim") == one.sha256
