"""The places that say where a package lives agree with the disk."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def setuptools() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    section: dict[str, Any] = table["tool"]["setuptools"]
    return section


def test_every_package_on_disk_is_installed() -> None:
    on_disk = {
        "cimc." + ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("passes", "targets")
        for init in (ROOT / top).rglob("__init__.py")
    } | {
        ".".join(init.parent.relative_to(ROOT).parts)
        for init in (ROOT / "cimc").glob("**/__init__.py")
        if not any(part.is_symlink() for part in init.parents)
    }
    assert set(setuptools()["packages"]) == on_disk


def test_the_links_point_where_the_mapping_points() -> None:
    for package, folder in setuptools()["package-dir"].items():
        if "." in package:
            link = ROOT / package.replace(".", "/")
            assert link.is_symlink()
            assert not Path(link.readlink()).is_absolute()
            assert link.resolve() == ROOT / folder


def test_every_shipped_target_is_packaged() -> None:
    patterns = setuptools()["package-data"]["cimc.targets"]
    shipped = {path.name for path in (ROOT / "targets").iterdir() if path.suffix == ".yaml"}
    packaged = {path.name for glob in patterns for path in (ROOT / "targets").glob(glob)}
    assert shipped
    assert shipped <= packaged


def test_the_roots_cannot_be_imported_under_a_second_name() -> None:
    for top in ("passes", "targets"):
        source = (ROOT / top / "__init__.py").read_text()
        assert f'__name__ != "cimc.{top}"' in source


def test_the_version_is_said_once() -> None:
    from cimc.version import __version__

    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert table["project"]["version"] == __version__
