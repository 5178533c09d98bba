"""What a fleet is of: a directory belongs to one program and one set of settings."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cimc.errors import UsageError
from cimc.fleets import store
from cimc.fleets.directory import Directory
from cimc.fleets.engine import Engine
from cimc.fleets.samples import prepare
from cimc.fleets.settings import FleetSettings, digest_of_settings
from cimc.fleets.store import Store
from cimc.fleets.work import Job
from cimc.program import read, write
from cimc.program.model import DeviceProgram

#: Longest value shown in a message [character].
_SHOWN: Final = 80


def claim(
    program: DeviceProgram | str | Path,
    settings: FleetSettings,
    directory: Directory,
    engine: Engine,
    *,
    restart: bool,
) -> Job:
    """Read the program, compare with what was done here, and prepare what chips share.

    Args:
        program: The program, or its path.
        settings: What is done with every chip.
        directory: Held.
        engine: What makes programs.
        restart: Forget what was done here.

    Raises:
        UsageError: CIMC-U77, the results here are of another program or other settings.
    """
    if isinstance(program, DeviceProgram):
        path, loaded = directory.program, program
        sha256 = write(program, path)
    else:
        path, loaded = Path(os.path.abspath(program)), read(Path(program))
        sha256 = loaded.sha256
    plain = settings.to_json()
    _claim(directory, path, sha256, plain, restart=restart)
    standard = prepare(directory.samples, loaded, sha256, settings)
    with Store(directory.results, create=True) as results:
        results.set_facts({"standard": None if standard is None else asdict(standard)})
    samples = None if standard is None else directory.samples
    return Job(path, sha256, settings, digest_of_settings(plain), samples, engine)


def _claim(
    directory: Directory, program: Path, sha256: str, settings: dict[str, Any], *, restart: bool
) -> None:
    """Make the file of results this fleet's, or refuse another's."""
    if restart and directory.results.exists():
        store.remove(directory.results)
    with Store(directory.results, create=True) as results:
        facts = results.facts()
        # Settings that made no chip bind nobody: they were wrong, and are given right now.
        if not facts or not any(record.done for record in results.records()):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            results.set_facts(
                {
                    "program": str(program),
                    "program_sha256": sha256,
                    "settings": settings,
                    "settings_sha256": digest_of_settings(settings),
                    "created": now,
                }
            )
            return
    differ: dict[str, tuple[Any, Any]] = {}
    if facts["program_sha256"] != sha256:
        differ["program"] = f"{facts['program_sha256'][:16]}...", f"{sha256[:16]}..."
    had = facts["settings"]
    differ |= {n: (had.get(n), v) for n, v in settings.items() if had.get(n) != v}
    for name, (before, now) in differ.items():
        raise UsageError(
            "CIMC-U77",
            "the chips here were made in another way: "
            f"{name.replace('_', ' ')} {_shown(before)}, asked for {_shown(now)}",
            where=str(directory.results),
            hint="the program and settings of the first time, another -o, or --restart",
        )


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
