"""The part of YAML that targets may use, and positions in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimc.targets import yaml_reader


def problems(text):
    _, marks, found = yaml_reader.read(text.encode())
    return [(*marks.find(p), p.message) for p in found]


def test_reads_data_with_positions():
    text = "a: 1\nb:\n  - 2.5\n  - {c: x y, d: '7'}\ne: true\nf: null\ng: 1e-4\nh: -3\n"
    data, marks, found = yaml_reader.read(text.encode())
    assert found == []
    assert data == {
        "a": 1, "b": [2.5, {"c": "x y", "d": "7"}], "e": True, "f": None, "g": 1e-4, "h": -3,
    }  # fmt: skip
    assert marks.values["b", 1, "c"] == (4, 9)
    assert marks.keys["e",] == (5, 1)


@pytest.mark.parametrize(
    "value", ["on", "yes", "No", "010", "12:30:45", "2001-01-01", "1_000", ".inf", ".nan", "0x1F"]
)
def test_refuses_what_yaml_1_1_reads_in_its_own_way(value):
    (found,) = problems(f"a: 1\nb: {value}\n")
    assert found[:2] == (2, 4)
    assert "ambiguous" in found[2]


def test_the_same_words_are_text_when_quoted():
    assert yaml_reader.read(b"a: 'on'\nb: \"010\"\n")[0] == {"a": "on", "b": "010"}


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a: 1\na: 2\n", (1, 1), "key given twice, again at line 2 column 1"),
        ("a: &x 1\n", (1, 4), "anchors are refused"),
        ("a: {b: *x}\n", (1, 8), "aliases are refused"),
        ("a: !!python/object:os.system x\n", (1, 4), "tags are refused"),
        ("<<: {a: 1}\n", (1, 5), "merge keys are refused"),
        ("a: 1\n--- \nb: 2\n", (1, 1), "holds more than one document"),
        ("", (1, 1), "is empty"),
        ("# nothing\n", (1, 1), "is empty"),
        ("? [a]\n: b\n", (1, 3), "a key should be a word"),
        ("a: [1\n", (2, 1), "is not YAML: did not find expected ',' or ']'"),
        ("a: " + "[" * 20 + "]" * 20, (1, 20), "nested deeper than 16"),
    ],
)
def test_refusals(text, position, message):
    assert (*position, message) in problems(text)


def test_refuses_long_files_and_other_encodings():
    assert "longer than" in yaml_reader.read(b"#" * (yaml_reader.SIZE_LIMIT + 1))[2][0].message
    assert yaml_reader.read(b"a: 1\nb: \xff\n")[2][0].message == "is not UTF-8 text"


def test_a_bomb_of_aliases_is_not_expanded():
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    data, _, found = yaml_reader.read("\n".join(lines).encode())
    assert data["a29"] == [None] * 9
    assert found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.text("ab:-[]{}&*!#|>'\"%@ \n\t0", max_size=40))
def test_any_text_is_read_or_reported(text):
    data, marks, found = yaml_reader.read(text.encode("utf-8", "surrogatepass"))
    for problem in found:
        assert marks.find(problem) >= (1, 1)
    assert found or data is not None or text.strip() in ("null", "~", "---") or data is None
