from pathlib import Path

from cimc.targets import find_target, list_targets
from tests.cli.conftest import Call


def test_list(call: Call) -> None:
    assert list(call("target", "list", "--json").json["targets"]) == list_targets()
    assert "rram-tiny" in call("target", "list").out


def test_show(call: Call) -> None:
    assert "cell.g_max" in call("target", "show", "rram").out
    assert call("target", "show", "rram", "--json").json["name"] == "rram"


def test_check(call: Call, tmp_path: Path) -> None:
    good = find_target("rram")
    assert call("target", "check", good).code == 0
    assert call("target", "check", good, "--json").json["valid"] is True
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text().replace("rows: 256", "rows: -1"))
    done = call("target", "check", bad, "--json")
    assert done.code == 4
    assert "array.rows" in done.json["error"]["message"]


def test_schema_is_json(call: Call) -> None:
    assert call("target", "schema").json["title"] == "cimc target"
