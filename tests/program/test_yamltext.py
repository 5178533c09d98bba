from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cimc.errors import ProgramError
from cimc.program import yamltext

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["yes", "No", "on", "~", "null", "1e5", "0x1f", "012", "1_000", "-", "a: b"])
)
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab: #-y1"), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(a: object, b: object) -> bool:
    return a == b and repr(a) == repr(b)


@given(data)
def test_flow_is_read_back_here_and_by_any_reader(value):
    text = f"k: {yamltext.flow(value)}\n"
    assert same(yamltext.parse(text, where=""), {"k": value})
    assert same(yaml.safe_load(text), {"k": value})


@given(st.dictionaries(st.text("abc", min_size=1), data, max_size=4), st.integers(0, 5))
def test_block_is_read_back(value, deep):
    text = "\n".join(yamltext.block(value, deep=deep)) + "\n"
    assert same(yamltext.parse(text or "{}", where=""), value) if value else True


@given(st.lists(st.dictionaries(st.text("abc", min_size=1), data) | data, min_size=1, max_size=4))
def test_folded_is_read_back(items):
    lines = [line for item in items for line in yamltext.folded(item, ("a", "bb"))]
    text = "k:\n" + "\n".join(lines) + "\n"
    assert same(yamltext.parse(text, where=""), {"k": items})


def test_not_a_number_and_infinities():
    text = f"a: {yamltext.flow([math.nan, math.inf, -math.inf, 1e-5, 1e300])}"
    nan, *rest = yamltext.parse(text, where="")["a"]
    assert math.isnan(nan)
    assert rest == [math.inf, -math.inf, 1e-5, 1e300]


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}, "\ud800"])
def test_what_is_not_plain_data_is_not_written(value):
    with pytest.raises(ProgramError) as caught:
        yamltext.flow([value])
    assert caught.value.code == "CIMC-P26"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", "anchors"),
        ("a: *x", "aliases"),
        ("a: !!python/object:os.system x", "tags"),
        ("a: !!str 1", "tags"),
        ("a: 1\na: 2", "twice"),
        ("1: 2", "key must be text"),
        ("[1]: 2", "key must be text"),
        ("{a: 1}: 2", "key must be text"),
        ("--- 1\n--- 2", "one YAML document"),
        ("", "one YAML document"),
        ("%YAML 1.1\n--- 1", "directives"),
        ("a: 0777", "ambiguous"),
        ("a: yes", "ambiguous"),
        ("a: 12:30", "ambiguous"),
        ("a: 1e5", "ambiguous"),
        ("a: [", "not valid YAML"),
        ("a: \x01", "not valid YAML"),
        ("[" * 40, "nested deeper"),
        ("- " * 40 + "a", "nested deeper"),
        ("{a: " * 100000, "nested deeper"),
        ("a: 99999999999999999999999", "ambiguous"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ProgramError, match=message) as caught:
        yamltext.parse(text, where="f")
    assert caught.value.code == "CIMC-P06"
    assert caught.value.where.startswith("f")


def test_number_of_values_is_bounded(monkeypatch):
    monkeypatch.setattr(yamltext, "MAX_NODES", 10)
    assert yamltext.parse("[1, 2, 3]", where="") == [1, 2, 3]
    with pytest.raises(ProgramError, match="more than 10"):
        yamltext.parse(f"[{'1, ' * 20}]", where="")
