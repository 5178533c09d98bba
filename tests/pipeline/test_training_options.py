"""The section ``training``: every setting is checked, and what contradicts is refused."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from cimc.errors import UsageError
from cimc.pipeline.options import Options
from cimc.pipeline.training_options import training_recipe
from cimc.pipeline.training_ranges import RANGES
from cimc.targets import load_target
from cimc.training.recipe import FaultTraining, Recipe

HINTS = get_type_hints(Recipe)


def refused(section: object) -> str:
    with pytest.raises(UsageError) as error:
        training_recipe(section)
    assert error.value.code == "CIMC-U54"
    return str(error.value)


def test_the_defaults_are_a_valid_section() -> None:
    assert training_recipe({}) == Recipe()
    assert training_recipe(asdict(Recipe())) == Recipe()
    assert training_recipe(Recipe(epochs=7)) == Recipe(epochs=7)


def test_every_number_has_a_range_that_holds_its_default() -> None:
    numbers = {k for k, kind in HINTS.items() if kind in (int, float)} | {"milestones"}
    assert set(RANGES) == numbers | {"faults.snap_every", "faults.delta"}
    for field in fields(Recipe):
        if field.name in RANGES and field.name != "milestones":
            assert field.default in RANGES[field.name]
    assert FaultTraining().delta in RANGES["faults.delta"]


@pytest.mark.parametrize("key", sorted(set(HINTS) - {"faults"}))
def test_every_setting_refuses_other_kinds(key: str) -> None:
    wrong: list[Any] = [True, {"a": 1}, object()]
    if HINTS[key] is not str and get_origin(HINTS[key]) is None:
        wrong += ["1", [1], float("nan"), float("inf")]
    if HINTS[key] is int:
        wrong += [1.5, 2.0]
    for value in wrong:
        assert f"training.{key} " in refused({key: value})


@pytest.mark.parametrize("key", sorted(RANGES))
def test_numbers_out_of_range_are_refused(key: str) -> None:
    section: Any = [-1] if key == "milestones" else -1
    for name in reversed(key.split(".")):
        section = {name: section}
    assert f"training.{key} must be " in refused(section)


@pytest.mark.parametrize(
    "key", sorted(k for k, h in HINTS.items() if get_args(h) and "Lit" in str(h))
)
def test_names_are_listed_when_one_is_wrong(key: str) -> None:
    said = refused({key: "magic"})
    assert all(name in said for name in get_args(HINTS[key]))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"epoch": 3}, "no setting 'epoch' of training\n  try 'epochs'"),
        ({"colour": 3}, "no setting 'colour' of training\n  try one of activation_bits, batch"),
        ({3: 3}, "no setting 3 of training"),
        ({"activation_bits": 1}, "must be 0, or from 2 to 8 (got 1)"),
        ({"momentum": 1.0}, "must be from 0 to 0.9999 (got 1.0)"),
        ({"learning_rate": 0}, "must be above 0 (got 0)"),
        ({"effects": "read"}, "must be a list (got read)"),
        ({"effects": ["programing"]}, "no non-ideality 'programing'"),
        ({"schedule": "step"}, "training.schedule needs milestones"),
        ({"schedule": "step", "milestones": [2, 2]}, "must be ascending epochs"),
        ({"schedule": "step", "milestones": [3]}, "must be before epoch 3, the last"),
        ({"milestones": [1]}, "training.milestones does nothing with schedule: cosine"),
        ({"delta": 0.5}, "training.delta does nothing with noise: device"),
        ({"gradient": "full", "noise": "none"}, "training.gradient does nothing with noise: none"),
        ({"lambda_end": 10}, "does nothing with quantization: straight-through"),
        ({"warm_up_epochs": 4}, "must be at most the 3 epochs there are (got 4)"),
        ([1], "training must be a mapping of settings"),
    ],
)
def test_what_is_refused(section: object, says: str) -> None:
    assert says in refused(section)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"faults": 3}, "training.faults must be a mapping of settings"),
        ({"faults": {"metod": "x"}}, "there is no setting 'metod' of training.faults"),
        ({"faults": {"method": "x"}}, "training.faults.method is not one of its names"),
        ({"faults": {"snap_every": 1.5}}, "training.faults.snap_every must be a whole number"),
        ({"faults": {"delta": "a"}}, "training.faults.delta must be a number"),
        ({"faults": {"delta": 2}}, "does nothing with method: reachable"),
        ({"faults": {"method": "validity"}}, "does nothing with quantization: straight-through"),
        ({"variability": "some"}, "training.variability is not one of its names"),
    ],
)
def test_what_is_said_of_faults_is_checked(section: object, says: str) -> None:
    assert says in refused(section)


def test_faults_are_replaced_every_four_epochs_unless_said_otherwise() -> None:
    periods = {
        method: training_recipe({"quantization": "regularized", "faults": {"method": method}})
        for method in ("reachable", "nearest-valid", "validity")
    }
    assert [recipe.faults.period for recipe in periods.values()] == [0, 4, 4]
    given = training_recipe({"faults": {"snap_every": 2}})
    assert given.faults == FaultTraining("reachable", 2)
    assert given.faults.period == 2
    assert training_recipe(asdict(given)) == given


def test_settings_of_faults_are_for_a_known_chip() -> None:
    options = Options.gather({"training": {"variability": "ignore"}})
    with pytest.raises(UsageError) as error:
        options.passes(load_target("rram"), trained=True)
    assert error.value.code == "CIMC-U70"
    names = [p.name for p in options.passes(load_target("rram"), trained=True, for_chip=True)]
    assert names[-2:] == ["remap", "finetune"]


def test_a_line_of_the_nested_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("training:\n  epochs: 1\n  faults:\n    method: reachble\n")
    with pytest.raises(UsageError) as error:
        Options.gather(path)
    assert error.value.where == f"{path}:4:13"


def test_whole_numbers_are_taken_for_numbers_and_lists_for_tuples() -> None:
    recipe = training_recipe(
        {"learning_rate": 1, "schedule": "step", "milestones": [1, 2], "effects": ["read", "adc"]}
    )
    assert isinstance(recipe.learning_rate, float)
    assert recipe.milestones == (1, 2)
    assert recipe.effects == ("read", "adc")


def test_a_file_is_named_with_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("levels: 4\ntraining:\n  epochs: 2\n  learning_rat: 0.1\n")
    with pytest.raises(UsageError) as error:
        Options.gather(path)
    assert error.value.where == f"{path}:4:3"
    path.write_text("training:\n  epochs: 2\n  batch: none\n")
    with pytest.raises(UsageError) as error:
        Options.gather(path)
    assert error.value.where == f"{path}:3:10"


def test_settings_of_the_call_win_and_the_seed_is_the_compilations() -> None:
    options = Options.gather(
        {"seed": 5, "training": {"epochs": 4, "batch": 8}}, training={"epochs": 2}
    )
    assert options.training == Recipe(epochs=2, batch=8, seed=5)
    assert Options.gather({"training": {"seed": 3}}, seed=5).training == Recipe(seed=3)
    assert Options.gather({}).training is None
    assert Options.gather({}, training=Recipe(seed=1)).training == Recipe(seed=1)
    assert Options.gather({"training": {}}).training == Recipe()


def names(**given: Any) -> list[str]:
    return [p.name for p in Options.gather({}).passes(load_target("rram"), **given)]


def test_what_training_changes_is_found_again() -> None:
    usual = names()
    assert "finetune" not in usual
    again = ["calibrate", "assign-conductance", "fit-converters"]
    assert names(trained=True) == [*usual, "finetune", *again]


@pytest.mark.parametrize(
    ("target", "recipe", "code", "says"),
    [
        ("ideal", {"activation_bits": 4}, "U56", "the target 'ideal' has no DAC"),
        ("ideal", {"first_last_bits": 4}, "U56", "training.first_last_bits is 4"),
        ("ideal", {"quantization": "regularized"}, "U57", "but weights have no levels"),
        ("ideal", {"levels": "multipliers"}, "U57", "but weights have no levels"),
        ("rram", {"levels": "multipliers"}, "U50", "levels of the quantizer lloyd"),
        ("rram", {"levels": "step"}, "U50", "no sums of multipliers"),
    ],
)
def test_what_target_and_quantizer_cannot_do(
    target: str, recipe: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(UsageError) as error:
        Options.gather({"training": recipe}).passes(load_target(target), trained=True)
    assert error.value.code == f"CIMC-{code}"
    assert says in str(error.value)


def test_fewer_bits_than_the_dac_has_are_possible_more_are_not() -> None:
    target = load_target("rram").changed({"read.dac_bits": 4})
    recipe = {"training": {"activation_bits": 4, "first_last_bits": 3}}
    assert Options.gather(recipe).passes(target, trained=True)
    recipe["training"]["activation_bits"] = 5
    with pytest.raises(UsageError, match="has DACs of 4 bits"):
        Options.gather(recipe).passes(target, trained=True)


def test_float_weights_can_be_trained_for_noise() -> None:
    recipe = {"training": {"noise": "gaussian", "delta": 0.01}}
    assert Options.gather(recipe).passes(load_target("ideal"), trained=True)


def test_sums_of_multipliers_can_be_learned() -> None:
    recipe = {"quantizer": "n-multiplier", "levels": 16, "training": {"levels": "multipliers"}}
    assert Options.gather(recipe).passes(load_target("rram"), trained=True)
    sliced = {"training": {"levels": "multipliers"}}
    assert Options.gather(sliced).passes(load_target("sram"), trained=True)


def test_converter_ranges_are_found_the_same_way_while_training() -> None:
    options = Options.gather({"converters": {"adc_method": "mse", "samples": 9}})
    passes = {p.name: p for p in options.passes(load_target("rram"), trained=True)}
    fitted, finetune = passes["fit-converters"], passes["finetune"]
    for name in ("input_method", "adc_method", "percentile"):
        assert getattr(finetune, name) == getattr(fitted, name)
    assert getattr(finetune, "adc_method") == "mse"  # noqa: B009


def test_states_are_no_sums_of_multipliers() -> None:
    states = {"cell.states": ["2.1 uS", "8 uS", "17.85 uS"], "cell.default_levels": 4}
    target = load_target("rram").changed(states)
    with pytest.raises(UsageError, match="hold 3 states: sums of multipliers") as error:
        Options.gather({}, quantizer="n-multiplier", levels=4).passes(target)
    assert error.value.code == "CIMC-U38"
