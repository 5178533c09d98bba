import pytest

from cimc.errors import UsageError
from cimc.pipeline.options import Options
from cimc.targets import load_target


@pytest.mark.parametrize(
    "recipe",
    [
        {"bits": 10**9},  # 2**bits would fill the memory
        {"bits": True},
        {"bits": 3, "levels": 8},
        {"levels": 8.0},
        {"per_column": "no"},  # a true value to Python
        {"per_column": 1},
        {"options": 3},
        {"options": {"quantize": 3}},
        {"options": {"quantize": {"samples": "many"}}},
        {"options": {"quantize": {"samples": 0}}},
        {"options": {"calibrate": {"vectors": True}}},
        {"options": {"canonicalize": {"fold_batch_norm": 1}}},
        {"converters": "best"},
        {"converters": 3},
        {"converters": {"method": "mse"}},
        {"converters": {"adc_method": 3}},
        {"converters": {"percentile": "most"}},
        {"converters": {"percentile": 0}},
    ],
)
def test_options_of_the_wrong_kind_are_refused(recipe):
    with pytest.raises(UsageError, match="CIMC-U41"):
        Options.gather(recipe).passes(load_target("rram"))


def test_options_of_passes_are_taken():
    recipe = {"options": {"quantize": {"samples": 7}, "canonicalize": {"free_batch": False}}}
    passes = {p.name: p for p in Options.gather(recipe).passes(load_target("rram"))}
    assert passes["quantize"].samples == 7
    assert passes["canonicalize"].free_batch is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: is empty"),
        ("levels: 4\nlevels: 8\n", "line 2 "),
        ("levels: 4\n]\n", "is not YAML"),
        ("- levels\n", "not a mapping"),
    ],
)
def test_a_broken_recipe_names_the_line(tmp_path, text, says):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="CIMC-U42") as refused:
        Options.gather(path)
    assert says in str(refused.value)
    assert "Problem(" not in str(refused.value)
