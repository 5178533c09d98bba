"""A target shown to people, and its schema shown to editors."""

import pytest
import yaml

from cimc.targets import describe, find_target, json_schema, list_targets, load_target


def test_describe_marks_defaults_and_gives_sources():
    lines = describe(load_target("rram")).splitlines()
    (line,) = [x for x in lines if "cell.g_max" in x]
    assert line.split() == ["cell.g_max", "17.85", "uS", "[GDQ]", "section", "4.4"]
    (line,) = [x for x in lines if "programming.granularity" in x]
    assert line.split()[-1] == "default"


def test_what_a_target_does_not_have_is_listed_in_the_end():
    lines = describe(load_target("rram")).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  none:"))
    listed = " ".join(lines[start:])
    given, by_default = listed.split("none by default:")
    assert "noise.read, stuck" in given
    assert "noise.drift" in by_default
    assert "wires" in by_default
    assert "wires.word_line" not in listed
    assert "polynomial" not in listed
    assert max(map(len, lines[start:])) <= 100


def test_an_explicit_zero_is_shown():
    text = describe(load_target("rram").changed({"cell.g_min": "0 uS"}))
    assert "  cell.g_min                 0 uS" in text
    assert "array.rows                 unlimited" in describe(load_target("ideal"))


@pytest.mark.parametrize("name", list_targets())
def test_every_shipped_target_is_shown_in_a_screen(name):
    assert len(describe(load_target(name)).splitlines()) <= 60


def test_json_schema_names_every_section_and_refuses_unknown_keys():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"array", "cell", "adc", "noise", "sources"} <= schema["properties"].keys()
    assert "g_min" in schema["$defs"]["Cell"]["properties"]
    assert all(d["additionalProperties"] is False for d in schema["$defs"].values())


def violations(value, schema, defs, path=""):
    """Yield where a value breaks a schema; the part of JSON Schema that pydantic writes."""
    if "$ref" in schema:
        yield from violations(value, defs[schema["$ref"].removeprefix("#/$defs/")], defs, path)
        return
    if "anyOf" in schema and all(list(violations(value, o, defs)) for o in schema["anyOf"]):
        yield f"{path}: none of anyOf"
    if ("const" in schema and value != schema["const"]) or value not in schema.get(
        "enum", [value]
    ):
        yield f"{path}: not a word of it"
    kinds = {"object": dict, "array": list, "string": str, "integer": int,
             "number": (int, float), "null": type(None), "boolean": bool}  # fmt: skip
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        yield f"{path}: not a {schema['type']}"
        return
    if isinstance(value, dict):
        yield from (f"{path}: lacks {k}" for k in schema.get("required", []) if k not in value)
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            if known is False:
                yield f"{path}.{key}: unknown"
            else:
                yield from violations(inner, known, defs, f"{path}.{key}")


@pytest.mark.parametrize("name", list_targets())
def test_shipped_targets_obey_the_json_schema(name):
    schema = json_schema()
    data = yaml.safe_load(find_target(name).read_text(encoding="utf-8"))
    assert list(violations(data, schema, schema["$defs"])) == []
    assert list(violations(load_target(name).plain(), schema, schema["$defs"])) == []
    wrong = data | {"adc": {"bitz": 8}, "encoding": "pair", "bogus": 1}
    assert len(list(violations(wrong, schema, schema["$defs"]))) == 3


def test_a_validator_accepts_the_schema_and_the_shipped_targets():
    validators = pytest.importorskip("jsonschema").validators
    schema = json_schema()
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    for name in list_targets():
        kind(schema).validate(load_target(name).plain())
