"""The file of results: what anybody reads in it, and what is refused."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from pathlib import Path

import pytest

from cimc.errors import CimcError
from cimc.fleets import store
from cimc.fleets.records import COLUMNS, Record
from cimc.fleets.store import Store

RECORD = Record(
    "a", "a.csv", "done", cells=7, accuracy=0.1 + 0.2, attempts=2, fault_map_mtime_ns=2**62
)


def test_what_is_added_is_there(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    with Store(path, create=True) as results:
        results.add(RECORD)
        results.add(Record("b'; DROP TABLE chips; --", "b.csv", "failed", error_message="é\n"))
        results.add(Record("a", "a.csv", "failed"))
        results.add(RECORD)
        results.set_facts({"one": {"x": [1, None]}, "two": "2"})
        results.set_facts({"two": 2})
    with Store(path) as results:
        assert [r.chip for r in results.records()] == ["a", "b'; DROP TABLE chips; --"]
        assert results.records()[0] == RECORD
        assert results.facts() == {"one": {"x": [1, None]}, "two": 2}
    with Store(path, create=True) as results:
        results.forget(["a", "none such"])
        assert len(results.records()) == 1


def test_the_schema(tmp_path: Path) -> None:
    with Store(tmp_path / "f.sqlite", create=True):
        pass
    base = sqlite3.connect(tmp_path / "f.sqlite")
    columns = {row[1]: row[2] for row in base.execute("PRAGMA table_info(chips)")}
    assert base.execute("PRAGMA user_version").fetchone()[0] == store.VERSION
    base.close()
    assert columns == COLUMNS
    assert list(columns) == [field.name for field in fields(Record)]
    assert columns["chip"] == columns["status"] == columns["program_sha256"] == "TEXT"
    assert columns["cells"] == columns["attempts"] == columns["fault_map_bytes"] == "INTEGER"
    assert columns["accuracy"] == columns["seconds"] == columns["fault_rate"] == "REAL"


def test_it_is_one_file_that_is_whole(tmp_path: Path) -> None:
    with Store(tmp_path / "f.sqlite", create=True) as results:
        results.add(RECORD)
        (tmp_path / "copy.sqlite").write_bytes((tmp_path / "f.sqlite").read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.sqlite", "f.sqlite"]
    with Store(tmp_path / "copy.sqlite") as results:
        assert results.records() == [RECORD]


def test_a_reader_does_not_stop_the_writer(tmp_path: Path) -> None:
    with Store(tmp_path / "f.sqlite", create=True) as results:
        results.add(RECORD)
        reader = sqlite3.connect(tmp_path / "f.sqlite")
        assert len(reader.execute("SELECT * FROM chips").fetchall()) == 1
        results.add(Record("b", "b.csv", "failed"))
        reader.close()
        assert len(results.records()) == 2


def test_nothing_is_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(CimcError) as caught:
        Store(tmp_path / "f.sqlite")
    assert caught.value.code == "CIMC-U77"
    assert list(tmp_path.iterdir()) == []


def test_another_version(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    with Store(path, create=True):
        pass
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 99")
    base.close()
    for create in (False, True):
        with pytest.raises(CimcError, match="version 1") as caught:
            Store(path, create=create)
        assert caught.value.code == "CIMC-U77"
    store.remove(path)
    assert not path.exists()
